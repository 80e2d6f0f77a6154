"""A bench of the adapter for Ansible: a real ansible-playbook on this machine."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions.ansible import AnsibleAdapter
from penelope.domain.action import Action, Snapshot

_PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Set the limit
      ansible.builtin.copy: {{dest: "{root}/limit.conf", content: "limit = {{{{ limit }}}}\\n"}}
    - name: Note the end, after a while
      ansible.builtin.shell: "sleep {{{{ pause }}}}; echo {{{{ limit }}}} >> {root}/ends"
"""
_UNDO = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Take the limit away
      ansible.builtin.file: {{path: "{root}/limit.conf", state: absent}}
"""


@dataclass
class Site:
    """A folder with playbooks, an inventory of this machine, and what the playbooks change."""

    root: Path

    @property
    def limit(self) -> Path:
        return self.root / "limit.conf"

    def ends(self) -> int:
        file = self.root / "ends"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def adapter(self) -> AnsibleAdapter:
        return AnsibleAdapter(self.root / "kept")

    def action(self, pause: float = 0.0) -> Action:
        options = {
            "folder": str(self.root / "playbooks"),
            "playbooks": ["limit.yml"],
            "inventory": str(self.root / "inventory"),
            "variables": {"limit": "integer"},
            "fixed": {"pause": pause, "password": "s3cret-fixed"},
            "undo": {"limit.yml": "unlimit.yml"},
        }
        return an_action("ansible", "play", options, {"playbook": "limit.yml", "variables": {"limit": 7}})

    async def torn_off(self, adapter: AnsibleAdapter, snapshot: Snapshot) -> None:
        """Begins a long run, and ends it in its middle."""
        running = asyncio.create_task(adapter.execute(self.action(pause=60), snapshot))
        while not self.limit.exists():
            assert not running.done()
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def a_site(root: Path) -> Site:
    (root / "playbooks").mkdir()
    (root / "playbooks" / "limit.yml").write_text(_PLAY.format(root=root))
    (root / "playbooks" / "unlimit.yml").write_text(_UNDO.format(root=root))
    (root / "inventory").write_text(
        f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )
    return Site(root)


def ansible(request: pytest.FixtureRequest) -> Bench:
    site = a_site(request.getfixturevalue("tmp_path"))
    adapter, action = site.adapter(), site.action()
    return Bench(
        adapter=adapter,
        action=action,
        effects=site.ends,
        shown=("pending",),
        unreachable=(adapter, with_options(action, inventory=str(site.root / "nowhere"))),
        half=lambda snapshot: site.torn_off(adapter, snapshot),
    )


BENCHES = [ansible]
HALVED = [ansible]
