// Services, teams, datasets, dashboards and runbooks: what people call by a name.
// param allowed: classifications
// param limit: many
// column id: text
// column kind: text
// column name: text
// column classification: text
MATCH (a:Thing {generation: $generation})
WHERE a.classification IN $allowed AND a.kind IN ['Service', 'Team', 'Dataset', 'Dashboard', 'Runbook']
RETURN a.id AS id, a.kind AS kind, a.name AS name, a.classification AS classification
ORDER BY a.place
LIMIT $limit
