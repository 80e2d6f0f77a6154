// What hangs together with nothing that may be known.
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation})
WHERE a.classification IN $allowed
OPTIONAL MATCH (a)-[:DEPENDS_ON|OWNED_BY|MEMBER_OF|DERIVED_FROM|SHOWN_ON|DESCRIBED_BY|AFFECTS|CHANGED|RUNS_ON|FITS]-(b:Thing)
WHERE b.classification IN $allowed AND b.id <> a.id
WITH a, count(DISTINCT b.id) AS links
WHERE links = 0
RETURN a.id AS id, a.kind AS kind, a.name AS name, a.classification AS classification
ORDER BY a.place
LIMIT $limit
