// What is made of a source, a dataset or a metric.
// param id: text
// param depth: depth
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column distance: number
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})<-[:DERIVED_FROM*1..4]-(b:Thing)
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND length(p) <= $depth AND b.id <> $id
WITH b, min(length(p)) AS distance
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification, distance AS distance
ORDER BY distance, b.place
LIMIT $limit
