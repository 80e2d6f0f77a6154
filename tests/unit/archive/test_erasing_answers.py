"""A person who asked is erased from the answers, too."""

from dataclasses import replace

from vault import Play, Vault, change

from penelope.domain.work import Change

ADA = "key:ada"


def test_answers_and_corrections_of_no_incident_name_the_person_no_more(on_empty: Play) -> None:
    async def play(vault: Vault) -> None:
        def asked(unit: str, actor: str) -> Change:
            told = {"request": {"subject": {"actor": actor}}, "told": {"value": 1}}
            return replace(change(unit), kind="answer", incident="", attributes=told, actor=actor)

        many = [asked(f"ans_{number:03}", ADA) for number in range(300)]
        await vault.ledger.save(*many, asked("ans_of_adam", "key:adam"))
        done = await vault.eraser.erase(ADA, "ticket 12")
        assert (done.units, done.payloads) == (300, 300)
        async with vault.reading.connect() as connection:
            found = await connection.exec_driver_sql("SELECT attributes FROM units_of_work")
            told = [str(row.attributes) for row in found]
        assert not [text for text in told if f'"{ADA}"' in text]
        assert len([text for text in told if '"actor":"(erased)"' in text]) == 300
        assert len([text for text in told if '"key:adam"' in text]) == 1
        assert await vault.flaws() == []

    on_empty(play)
