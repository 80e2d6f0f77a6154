// The dashboards that show a thing, or what is made of it over up to four hops.
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
MATCH p = (a:Thing {generation: $generation, id: $id})<-[:DERIVED_FROM*0..4]-(b:Thing)
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND length(p) <= $depth
WITH b, min(length(p)) AS hops
MATCH (b)-[:SHOWN_ON]->(c:Thing)
WHERE c.classification IN $allowed AND c.kind = 'Dashboard'
WITH c, min(hops) AS distance
RETURN c.id AS id, c.kind AS kind, c.name AS name, c.classification AS classification, distance AS distance
ORDER BY distance, c.place
LIMIT $limit
