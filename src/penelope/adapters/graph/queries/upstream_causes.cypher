// What a thing rests on, itself included, that is failing, has an open incident or was changed since a moment.
// param id: text
// param depth: depth
// param since: moment
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column distance: number
// column status: text
// column incidents: number
// column changes: number
// column changed_at: moment
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})-[:DEPENDS_ON|RUNS_ON|DERIVED_FROM*0..4]->(b:Thing)
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND length(p) <= $depth
WITH b, min(length(p)) AS distance
OPTIONAL MATCH (b)<-[:CHANGED]-(c:Thing)
WHERE c.classification IN $allowed AND c.at >= $since
WITH b, distance, count(DISTINCT c.id) AS changes, max(c.at) AS latest
OPTIONAL MATCH (b)<-[:AFFECTS]-(i:Thing)
WHERE i.classification IN $allowed AND i.kind = 'Incident' AND i.status = 'open'
WITH b, distance, changes, latest, count(DISTINCT i.id) AS incidents
WHERE changes > 0 OR incidents > 0 OR b.status = 'failing'
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification, distance AS distance, b.status AS status, incidents AS incidents, changes AS changes, coalesce(latest, 0) AS changed_at
ORDER BY distance, b.place
LIMIT $limit
