// One thing with all that is kept of it.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column status: text
// column at: moment
// column properties: json
MATCH (a:Thing {generation: $generation, id: $id})
WHERE a.classification IN $allowed
RETURN a.id AS id, a.kind AS kind, a.name AS name, a.classification AS classification, a.status AS status, a.at AS at, a.properties AS properties
ORDER BY a.place
LIMIT $limit
