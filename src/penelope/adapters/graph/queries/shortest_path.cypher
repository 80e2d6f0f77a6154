// The shortest way between two things over edges of any kind and direction, over up to three hops.
// param id: text
// param to: text
// param allowed: classifications
// column path: path
// column things: things
// column distance: number
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})-[:DEPENDS_ON|OWNED_BY|MEMBER_OF|DERIVED_FROM|SHOWN_ON|DESCRIBED_BY|AFFECTS|CHANGED|RUNS_ON|FITS*1..3]-(b:Thing {generation: $generation, id: $to})
WHERE all(x IN nodes(p) WHERE x.classification IN allowed) AND a.id <> b.id
WITH DISTINCT nodes(p) AS way, length(p) AS distance
UNWIND way AS x
WITH way, distance, sum(x.weight) AS weight
RETURN way AS path, way AS things, distance AS distance
ORDER BY distance, weight
LIMIT 1
