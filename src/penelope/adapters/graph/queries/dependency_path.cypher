// The shortest way in which a thing rests on another, over up to five hops.
// param id: text
// param to: text
// param allowed: classifications
// column path: path
// column things: things
// column distance: number
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})-[:DEPENDS_ON|RUNS_ON|DERIVED_FROM*1..5]->(b:Thing {generation: $generation, id: $to})
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND a.id <> b.id
WITH DISTINCT nodes(p) AS way, length(p) AS distance
UNWIND way AS x
WITH way, distance, sum(x.weight) AS weight
RETURN way AS path, way AS things, distance AS distance
ORDER BY distance, weight
LIMIT 1
