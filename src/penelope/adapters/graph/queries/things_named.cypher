// Things of a name, whatever its case.
// param name: folded
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation})
WHERE a.classification IN $allowed AND a.folded = $name
RETURN a.id AS id, a.kind AS kind, a.name AS name, a.classification AS classification
ORDER BY a.place
LIMIT $limit
