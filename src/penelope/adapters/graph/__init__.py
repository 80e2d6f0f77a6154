"""The graph of things: named Cypher queries, the same text on an embedded store and over Bolt."""
