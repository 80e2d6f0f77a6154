-- A shop's warehouse, made from nothing but row numbers: every value follows from a number and a salt by integer
-- arithmetic, so that every machine and every version of DuckDB writes the same rows. Statements end in a line ";".

-- Uniform in [0, 1): two rounds of multiply and shift over 32 bits; BIGINT holds every product.
CREATE TEMP MACRO mixed(x) AS ((xor(x, x >> 16) & 4294967295) * 73244475) & 4294967295
;
CREATE TEMP MACRO draw(i, salt) AS
  (xor(mixed(mixed((i::BIGINT * 2654435769 + salt::BIGINT * 40503001) & 4294967295)), 2246822519) & 4294967295) / 4294967296.0
;
CREATE TEMP MACRO pick(i, salt, choices) AS choices[1 + CAST(floor(draw(i, salt) * len(choices)) AS BIGINT)]
;
CREATE TEMP MACRO moment(share) AS
  TIMESTAMP '2024-01-01' + to_microseconds(CAST(floor(share * 91151999999.0) AS BIGINT) * 1000)
;
CREATE TABLE customers AS
SELECT
  i AS id,
  pick(i, 1, ['Aiko', 'Ben', 'Chiara', 'Dewi', 'Elif', 'Femi', 'Grace', 'Hiro', 'Ines', 'Jonas', 'Kavya', 'Liam',
              'Mina', 'Noah', 'Olga', 'Priya', 'Quinn', 'Rosa', 'Sven', 'Tariq']) AS first_name,
  pick(i, 2, ['Adams', 'Baker', 'Chen', 'Dubois', 'Endo', 'Fischer', 'Garcia', 'Haddad', 'Ito', 'Jensen', 'Kumar',
              'Lopez', 'Meyer', 'Novak', 'O''Brien', 'Park', 'Rossi', 'Silva', 'Tanaka', 'Weber']) AS last_name,
  lower(first_name || '.' || replace(last_name, '''', '') || i || '@')
    || pick(i, 3, ['example.com', 'example.org', 'example.net']) AS email,
  '+' || CAST(1000000000 + CAST(floor(draw(i, 4) * 8999999999) AS BIGINT) AS VARCHAR) AS phone,
  pick(i, 5, ['JP', 'JP', 'AU', 'IN', 'IN', 'SG', 'KR', 'DE', 'DE', 'DE', 'FR', 'FR', 'GB', 'GB', 'ES', 'IT', 'ZA',
              'AE', 'US', 'US', 'US', 'US', 'US', 'CA', 'BR', 'MX']) AS country,
  CASE WHEN draw(i, 6) < 0.12 THEN 'business' WHEN draw(i, 6) < 0.35 THEN 'member' ELSE 'private' END AS segment,
  draw(i, 7) < 0.6 AS newsletter,
  moment(power(draw(i, 8), 1.4)) AS signed_up_at
FROM range(1, 60001) t(i)
;
CREATE TABLE products AS
SELECT
  i AS id,
  pick(i, 11, ['Alpine', 'Birch', 'Cobalt', 'Delta', 'Ember', 'Fjord', 'Granite', 'Harbor', 'Iris', 'Juniper'])
    || ' ' || pick(i, 12, ['Lamp', 'Chair', 'Mug', 'Backpack', 'Jacket', 'Speaker', 'Notebook', 'Bottle', 'Scarf', 'Desk'])
    || ' ' || i AS name,
  pick(i, 13, ['Home', 'Home', 'Kitchen', 'Outdoor', 'Clothing', 'Clothing', 'Electronics', 'Office']) AS category,
  pick(i, 14, ['Northwind', 'Contoso', 'Fabrikam', 'Tailspin', 'Litware']) AS brand,
  CAST(4 + floor(power(draw(i, 15), 3) * 39600) / 100 AS DECIMAL(10, 2)) AS price,
  CAST(price * CAST(0.35 + floor(draw(i, 16) * 40) / 100 AS DECIMAL(4, 2)) AS DECIMAL(10, 2)) AS cost,
  draw(i, 17) < 0.9 AS active,
  CAST(moment(draw(i, 18) * 0.8) AS DATE) AS launched_on
FROM range(1, 501) t(i)
;
CREATE TABLE order_items AS
SELECT
  row_number() OVER () AS id,
  order_id,
  product_id,
  quantity,
  p.price AS unit_price,
  p.cost AS unit_cost
FROM (
  SELECT
    o.i AS order_id,
    1 + CAST(floor(power(draw(o.i * 4 + n.n, 21), 1.6) * 500) AS BIGINT) AS product_id,
    1 + CAST(floor(power(draw(o.i * 4 + n.n, 22), 4) * 5) AS INTEGER) AS quantity,
    n.n AS line
  FROM range(1, 1200001) o(i), range(0, 4) n(n)
  WHERE n.n = 0 OR draw(o.i * 4 + n.n, 23) < 0.33
) l JOIN products p ON p.id = l.product_id
ORDER BY order_id, line
;
CREATE TABLE orders AS
WITH amounts AS (SELECT order_id, sum(quantity * unit_price) AS goods FROM order_items GROUP BY order_id)
SELECT
  i AS id,
  1 + CAST(floor(power(draw(i, 31), 1.3) * 55000) AS BIGINT) AS customer_id,
  CASE WHEN draw(i, 32) < 0.86 THEN 'completed' WHEN draw(i, 32) < 0.92 THEN 'cancelled'
       WHEN draw(i, 32) < 0.97 THEN 'returned' ELSE 'processing' END AS status,
  pick(i, 33, ['web', 'web', 'web', 'app', 'app', 'store', 'marketplace']) AS channel,
  pick(i, 34, ['USD', 'USD', 'USD', 'EUR', 'EUR', 'GBP', 'JPY']) AS currency,
  CASE WHEN draw(i, 35) < 0.2 THEN 'WELCOME10' WHEN draw(i, 35) < 0.25 THEN '100%_OFF_SHIPPING' END AS coupon,
  CAST(a.goods AS DECIMAL(12, 2)) AS amount,
  CAST(CASE WHEN draw(i, 35) < 0.2 THEN a.goods * 0.1 ELSE 0 END AS DECIMAL(12, 2)) AS discount,
  CAST(CASE WHEN a.goods >= 100 OR draw(i, 35) BETWEEN 0.2 AND 0.25 THEN 0 ELSE 4.95 END AS DECIMAL(12, 2)) AS shipping,
  moment(power((i - 1 + draw(i, 36)) / 1200000.0, 0.8)) AS created_at,
  CASE WHEN draw(i, 32) < 0.86 OR draw(i, 32) BETWEEN 0.92 AND 0.97
       THEN least(created_at + to_minutes(CAST(floor(draw(i, 37) * 240) AS BIGINT)), TIMESTAMP '2026-11-20 23:59:59') END AS paid_at,
  created_at + to_minutes(5) AS loaded_at
FROM range(1, 1200001) o(i) JOIN amounts a ON a.order_id = i
ORDER BY i
;
CREATE TABLE refunds AS
SELECT
  row_number() OVER () AS id,
  id AS order_id,
  pick(id, 41, ['damaged', 'late', 'wrong item', 'changed mind', 'changed mind']) AS reason,
  CAST(amount * CAST(0.25 * (1 + n.n) * (1 + floor(draw(id, 42) * 2)) AS DECIMAL(4, 2)) / (1 + n.n) AS DECIMAL(12, 2)) AS amount,
  created_at + to_hours(CAST(24 + floor(draw(id, 43) * 480) AS BIGINT)) AS refunded_at
FROM orders, range(0, 2) n(n)
WHERE (status = 'returned' OR draw(id, 44) < 0.01) AND (n.n = 0 OR draw(id, 45) < 0.15)
  AND created_at < TIMESTAMP '2026-10-30'
ORDER BY orders.id, n.n
;
CREATE TABLE sessions AS
SELECT
  i AS id,
  CASE WHEN draw(i, 51) < 0.55 THEN 1 + CAST(floor(draw(i, 52) * 60000) AS BIGINT) END AS customer_id,
  pick(i, 53, ['desktop', 'phone', 'phone', 'phone', 'tablet']) AS device,
  pick(i, 54, ['search', 'search', 'direct', 'mail', 'social', 'ads']) AS source,
  moment(power((i - 1 + draw(i, 55)) / 500000.0, 0.8)) AS started_at,
  5 + CAST(floor(power(draw(i, 56), 3) * 1800) AS INTEGER) AS seconds,
  1 + CAST(floor(power(draw(i, 57), 3) * 30) AS INTEGER) AS pages,
  draw(i, 58) < 0.04 + 0.05 * CAST(pick(i, 53, [1, 0, 0, 0, 0]) AS DOUBLE) AS converted
FROM range(1, 500001) t(i)
;
CREATE TABLE deployments AS
SELECT
  i AS id,
  pick(i, 61, ['checkout', 'payments', 'catalogue', 'cart', 'search', 'shipping', 'inventory', 'accounts', 'frontend']) AS service,
  'v' || (1 + i // 200) || '.' || (i % 200) AS version,
  CASE WHEN draw(i, 62) < 0.9 THEN 'succeeded' WHEN draw(i, 62) < 0.97 THEN 'rolled_back' ELSE 'failed' END AS outcome,
  20 + CAST(floor(draw(i, 63) * 900) AS INTEGER) AS seconds,
  moment((i - 1 + draw(i, 64)) / 3000.0) AS deployed_at
FROM range(1, 3001) t(i)
;
CREATE TABLE incidents AS
SELECT
  row_number() OVER () AS id,
  id AS deployment_id,
  service,
  pick(id, 71, ['critical', 'error', 'error', 'warning', 'warning', 'warning']) AS severity,
  pick(id, 72, ['bad release', 'bad release', 'configuration', 'dependency', 'capacity']) AS cause,
  deployed_at + to_minutes(CAST(floor(draw(id, 73) * 90) AS BIGINT)) AS opened_at,
  CASE WHEN draw(id, 74) < 0.97
       THEN opened_at + to_minutes(CAST(3 + floor(power(draw(id, 75), 3) * 600) AS BIGINT)) END AS resolved_at,
  draw(id, 76) < 0.7 AS healed_alone
FROM deployments
WHERE outcome <> 'succeeded' OR draw(id, 77) < 0.06
ORDER BY id
;
