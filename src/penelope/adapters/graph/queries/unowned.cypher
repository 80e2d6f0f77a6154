// Services, datasets and dashboards that nobody owns who may be known.
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation})
WHERE a.classification IN $allowed AND a.kind IN ['Service', 'Dataset', 'Dashboard']
OPTIONAL MATCH (a)-[:OWNED_BY]->(b:Thing)
WHERE b.classification IN $allowed AND b.id <> a.id
WITH a, count(DISTINCT b.id) AS links
WHERE links = 0
RETURN a.id AS id, a.kind AS kind, a.name AS name, a.classification AS classification
ORDER BY a.place
LIMIT $limit
