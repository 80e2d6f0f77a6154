// The teams of a thing: that own it, or that its owner or the person itself is a member of.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
// column kind: text
// column name: text
// column classification: text
// column distance: number
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})-[:OWNED_BY|MEMBER_OF*1..2]->(b:Thing)
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND b.kind = 'Team' AND b.id <> $id
WITH b, min(length(p)) AS distance
RETURN b.id AS id, b.kind AS kind, b.name AS name, b.classification AS classification, distance AS distance
ORDER BY distance, b.place
LIMIT $limit
