"""The synchronous engine that the durable engine's threads share."""

from penelope.store.database import open_workflow_engine, parse_url


def test_a_connection_that_comes_back_after_the_end_is_closed(postgres: str) -> None:
    """Left to the collector, it would stay open on the server until then."""
    engine = open_workflow_engine(parse_url(postgres))
    late, early = engine.connect(), engine.connect()
    driver, other = late.connection.driver_connection, early.connection.driver_connection
    assert driver is not None
    assert other is not None
    early.close()
    assert not other.closed
    engine.dispose()
    assert other.closed
    assert not driver.closed
    late.close()
    assert driver.closed
