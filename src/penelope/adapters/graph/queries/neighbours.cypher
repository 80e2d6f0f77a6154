// What a thing has an edge with; direction is out where the edge begins at the thing.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column type: text
// column direction: text
MATCH (a:Thing {generation: $generation, id: $id})-[r:DEPENDS_ON|OWNED_BY|MEMBER_OF|DERIVED_FROM|SHOWN_ON|DESCRIBED_BY|AFFECTS|CHANGED|RUNS_ON|FITS]-(b:Thing)
WHERE a.classification IN $allowed AND b.classification IN $allowed
WITH DISTINCT b, r.type AS type, CASE WHEN r.start = $id THEN 'out' ELSE 'in' END AS direction
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification, type AS type, direction AS direction
ORDER BY b.place, type, direction
LIMIT $limit
