"""What the interface tells of a deployment: what it learned, and what older ones never had."""

from datetime import UTC, datetime

from penelope.domain import deployment as domain
from penelope.domain.analysis import AnalysisSpec, Mode, Noise, Tempering, Thresholds
from penelope.domain.calibration import Learned
from penelope.domain.deployment import Course, alike
from penelope.entry.api import deployment_models as models
from penelope.kit.codec import from_data, to_data
from penelope.rooms.rollout.look import Kept

AT = datetime(2026, 11, 22, tzinfo=UTC)
LEARNED = Learned(
    service="shop",
    deployment="deployment_1",
    at=AT,
    seconds=1800,
    requests=180_000,
    tempering=Tempering(errors=Noise(factor=3.25, information=0.5), latency=Noise(factor=2.0)),
    errors=True,
    latency=False,
)


def deployment(course: Course) -> domain.Deployment:
    return domain.Deployment(
        id="deployment_2",
        service="shop",
        course=course,
        created_by="anna",
        created_at=AT,
        status=domain.DeploymentStatus.CONCLUDED,
        learned=LEARNED,
        noise=LEARNED.words,
    )


def test_what_was_learned_is_told_whole() -> None:
    told = models.Deployment.model_validate(
        deployment(Course(canary="b", control="a", stages=alike(), calibrates=True))
    ).model_dump(mode="json")
    assert (told["status"], told["course"]["calibrates"], told["noise"]) == ("concluded", True, LEARNED.words)
    assert told["learned"]["tempering"]["errors"] == {"factor": 3.25, "information": 0.5}
    assert (told["learned"]["errors"], told["learned"]["latency"]) == (True, False)
    assert (told["learned"]["deployment"], told["learned"]["requests"]) == ("deployment_1", 180_000)


def test_a_course_that_is_told_can_be_asked_for_again() -> None:
    analysis = AnalysisSpec(mode=Mode.KAYENTA, kayenta=Thresholds(passing=80, marginal=40))
    for course in (
        Course(canary="b", control="a", stages=alike(), calibrates=True),
        Course(canary="b", control="a", stages=alike(600, 10), analysis=analysis, learned_noise=False),
    ):
        told = models.Deployment.model_validate(deployment(course)).model_dump(mode="json")["course"]
        assert models.Course.model_validate(told).course() == course


def test_one_that_was_kept_before_any_of_this_is_still_read() -> None:
    kept = Kept(deployment=deployment(Course(canary="b", control="a")))
    data = to_data(kept)
    for part, names in (
        (data["deployment"], ("learned", "noise")),
        (data["deployment"]["course"], ("learned_noise", "calibrates")),
        (data["deployment"]["course"]["analysis"], ("mode", "kayenta")),
        (data["memory"], ("lesson", "interval")),
    ):
        for name in names:
            del part[name]
    read = from_data(Kept, data)
    assert (read.deployment.learned, read.deployment.noise) == (None, "")
    assert read.deployment.course == kept.deployment.course
    assert read.deployment.tempering == Tempering()
