"""The articles, their scale and the policy of autonomy come from the settings; defaults agree everywhere."""

from penelope.bootstrap.autonomy import policy_of
from penelope.bootstrap.constitution import constitution_of, scale_of
from penelope.domain.autonomy import Level
from penelope.domain.constitution import Article
from penelope.rooms.decide.constitution.weigh import Constitution as Articles
from penelope.rooms.learn.autonomy import Policy
from penelope.rooms.learn.compliance import Scale
from penelope.settings.autonomy import Autonomy
from penelope.settings.constitution import Constitution


def test_the_defaults_of_the_settings_are_those_of_the_code() -> None:
    assert constitution_of(Constitution()) == Articles()
    assert scale_of(Constitution()) == Scale()
    assert policy_of(Autonomy(), [], []) == Policy()


def test_every_article_is_weighed_and_has_a_weight() -> None:
    principles = constitution_of(Constitution()).principles
    assert [principle.article for principle in principles] == [
        *list(Article)[:6],
        Article.ALETHEIA,
        Article.PRUDENCE,
    ]
    assert len({principle.name for principle in principles}) == len(Article)
    scale = scale_of(Constitution(sophia_weight=0, stewardship_weight=20))
    assert (scale.weights[Article.SOPHIA], scale.weights[Article.STEWARDSHIP]) == (0, 20)
    assert set(scale.weights) == set(Article)


def test_limits_reach_the_principles() -> None:
    wanted = Constitution(
        waiting_limit=0.11,
        gentleness_limit=0.12,
        certainty_limit=0.13,
        cost_limit=0.14,
        user_impact_limit=0.15,
        halts_limit=7,
    )
    limits = [getattr(principle, "limit", None) for principle in constitution_of(wanted).principles]
    assert limits == [0.11, 0.12, 0.13, 0.14, 0.15, None, None, 7.0]


def test_the_policy_is_as_it_was_set() -> None:
    policy = policy_of(
        Autonomy(start="shadow", service_caps={"shop": "suggest"}, playbook_caps={"fix": "shadow"}),
        ["shop"],
        ["fix"],
    )
    assert policy.start is Level.SHADOW
    assert policy.cap_of("other", "shop") is Level.SUGGEST
    assert policy.cap_of("fix", "shop") is Level.SHADOW
