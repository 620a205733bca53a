"""Which topics a recorder hears: the table's, with its cameras and fingers put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robot_rl.core.errors import ConfigError, did_you_mean
from robot_rl.core.spec import IMAGE_PREFIX, ObservationSpec
from robot_rl_nodes import topic
from robot_rl_nodes.source import Source, source
from robot_rl_nodes.topic import Topic


def table(views: Sequence[str], fingers: Sequence[str]) -> dict[str, Topic]:
    """Return every topic of a graph with these cameras and fingers, by its name."""
    found: dict[str, Topic] = {}
    for known in vars(topic).values():
        if isinstance(known, Topic) and "{name}" not in known.name:
            found[known.name] = known
        elif isinstance(known, Topic):
            devices = views if known.name.startswith("cameras/") else fingers
            found |= {(made := known.of(device)).name: made for device in devices}
    return found


def cameras(named: Sequence[str], images: Mapping[str, Source]) -> list[str]:
    """Return the names of cameras, or those of the images where none is named."""
    own = [s.name.partition(":")[2] for s in images.values() if s.name.startswith("camera:")]
    return [*named] or own


def chosen(names: Sequence[str], views: Sequence[str], fingers: Sequence[str]) -> list[Topic]:
    """Return the topics of these names.

    Where none is named, all but what is there twice: a driver's topics become `robot/state`, and a
    camera's picture becomes the one that the policy sees.

    Raises:
        ConfigError: naming the one that is not in the table, and the nearest that is.
    """
    known = table(views, fingers)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"parameter topics: unknown topic {name!r}{did_you_mean(name, known)}; cameras "
                "and fingers are named in parameters of their own"
            )
    twice = {each.name for each in topic.BY_DRIVER} | {
        topic.CAMERA_IMAGE.of(view).name for view in views
    }
    return [known[name] for name in names or known if names or name not in twice]


def pictures(spec: ObservationSpec, fingers: Sequence[str]) -> dict[str, Source]:
    """Return where each image of an observation comes from, by its key."""
    found: dict[str, Source] = {}
    for key in spec.images:
        device = key.removeprefix(IMAGE_PREFIX)
        kind = "tactile_image" if device in fingers else "camera"
        found[key] = source(f"{kind}:{device}", spec)
    return found
