// What changed a thing since a moment, the latest first.
// param id: text
// param since: moment
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column status: text
// column at: moment
// column properties: json
MATCH (a:Thing {generation: $generation, id: $id})<-[:CHANGED]-(b:Thing)
WHERE a.classification IN $allowed AND b.classification IN $allowed AND b.kind = 'Change' AND b.at >= $since
WITH DISTINCT b
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification, b.status AS status, b.at AS at, b.properties AS properties
ORDER BY b.at DESC, b.place
LIMIT $limit
