"""Settings of the words of people: whose is needed, how long there is, and how they are told."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, Strict, field_validator

from penelope.domain.asking import TWO_FOR_THE_IRREVERSIBLE
from penelope.domain.people import People, person_from
from penelope.domain.quorum import quorum_rule_from
from penelope.settings.section import Count, Seconds, Section, Share

_NAME = r"[A-Za-z0-9._-]{1,64}"


def _quorum(text: str) -> str:
    quorum_rule_from(text)
    return text


def _person(text: str) -> str:
    person_from(text)
    return text


def _channel(secret: SecretStr) -> SecretStr:
    # No message repeats the text: a channel's URL holds its token.
    name, _, url = secret.get_secret_value().partition(" ")
    if not name or not urlsplit(url.strip()).scheme:
        raise ValueError("should hold a name, a space and a URL such as `ops slack://...` for each channel")
    return secret


QuorumLine = Annotated[str, AfterValidator(_quorum)]
PersonLine = Annotated[str, AfterValidator(_person)]
ChannelLine = Annotated[SecretStr, AfterValidator(_channel)]
ServiceLine = Annotated[str, Field(pattern=r"^\S{1,200} (reject|escalate)$")]
EscalationLine = Annotated[str, Field(pattern=rf"^(0(\.\d+)?|1(\.0)?) {_NAME}$")]


class Approval(Section):
    """The word of a person."""

    expires_seconds: Seconds = 86_400
    """How long, in seconds, a request for approval stays open before the incident is escalated."""

    good_seconds: Seconds = 3600
    """How long, in seconds, an approval is good once it was given; what has not begun by then is asked for anew."""

    refusal_seconds: Seconds = 86_400
    """How long, in seconds, a person's no stands: for so long nobody is asked again for that playbook when the same
    problem of the service comes back, unless it has proven itself there; people get the incident at once, with who
    refused, when and why."""

    quorum: Annotated[tuple[QuorumLine, ...], Strict(False)] = TWO_FOR_THE_IRREVERSIBLE
    """Whose word plans need, the first line that covers one counting: `tier 4: 2 approver`, or
    `risk 0.8: 2 of 3 approver + 1 dba + 1 rule:scanner + 1 agent:second-opinion`. A plan that no line covers needs
    one approver. Every bench must be convinced; one that no longer can be rejects the plan."""

    people: Annotated[tuple[PersonLine, ...], Strict(False)] = ()
    """Who may answer through Slack and by e-mail, which names are the same person, and who has which role:
    `ada@example.com aka=ada,a.lovelace roles=dba slack=U0ADA mail=ada@example.com` (all but the first are optional)."""

    on_timeout: Literal["reject", "escalate"] = "reject"
    """What silence means: `reject` hands the incident to people; `escalate` asks those whom the last line of
    `approval.escalation` names for as long again, and rejects then."""

    on_timeout_of: Annotated[tuple[ServiceLine, ...], Strict(False)] = ()
    """The same for single services, each as its name, a space and `reject` or `escalate`."""

    reminders: Annotated[tuple[Share, ...], Strict(False)] = (0.5, 0.9)
    """When those who were asked are reminded, as shares (0 to 1) of the time that they have."""

    escalation: Annotated[tuple[EscalationLine, ...], Strict(False)] = ()
    """Whom to tell while nobody answers, each as a share of the time, a space and a channel: `0.75 managers`."""

    glass_seconds: Seconds = 900
    """How long, in seconds, a broken glass lifts what stands against the plan."""

    review_seconds: Seconds = 172_800
    """How long, in seconds, two people have to review a broken glass before it counts as overdue."""

    @field_validator("people")
    @classmethod
    def _people_are_distinct(cls, people: tuple[str, ...]) -> tuple[str, ...]:
        People(tuple(map(person_from, people)))
        return people


class Notify(Section):
    """The channels on which people are told and asked."""

    channels: Annotated[tuple[ChannelLine, ...], Strict(False)] = Field(default=(), repr=False)
    """Where requests and alarms go, in order; one that fails is followed by the next. Each is a name, a space and a
    URL: `slack+https://hooks.slack.com/services/...` posts buttons, `mailto://` and `mailtos://` send each person in
    `approval.people` links of their own, and any other is taken by Apprise (`msteams://`, `json://`, ...)."""

    attempts: Count = 4
    """How often a channel is tried before the next one has its turn."""

    backoff_seconds: Seconds = 5
    """The pause, in seconds, before a channel is tried again; it doubles each time, up to ten minutes."""

    timeout_seconds: Seconds = 15
    """How long, in seconds, a channel may take."""

    poll_seconds: Seconds = 1
    """How often, in seconds, it is looked for what is due."""

    slack_signing_secret: SecretStr | None = None
    """The signing secret of the Slack app whose buttons people press; without it no button is answered."""

    public_address: str = Field(default="", pattern=r"^(https?://[^\s?#@]+)?$")
    """Where people reach this server, such as `https://penelope.example.com`; without it no links are sent."""

    link_seconds: Seconds = 3600
    """How long, in seconds, a link in an e-mail is good, if the request is open for so long."""

    @field_validator("channels")
    @classmethod
    def _channels_have_names_of_their_own(cls, channels: Any) -> Any:
        names = [secret.get_secret_value().partition(" ")[0] for secret in channels]
        if len(set(names)) < len(names):
            raise ValueError("names a channel twice")
        return channels
