// Who owns a thing: teams and people.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation, id: $id})-[:OWNED_BY]->(b:Thing)
WHERE a.classification IN $allowed AND b.classification IN $allowed
WITH DISTINCT b
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification
ORDER BY b.place
LIMIT $limit
