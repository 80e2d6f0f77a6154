// The hosts that a service runs on.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation, id: $id})-[:RUNS_ON]->(b:Thing)
WHERE a.classification IN $allowed AND b.classification IN $allowed AND b.kind = 'Host'
WITH DISTINCT b
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification
ORDER BY b.place
LIMIT $limit
