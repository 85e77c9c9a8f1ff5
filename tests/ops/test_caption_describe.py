import pickle
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from audiocur.ops.caption.describe import Describe
from audiocur.records import Clip


@pytest.mark.parametrize(
    ("tags", "caption"),
    [
        (["instrumental", "120 BPM", "A minor", "wide stereo"], "instrumental, 120 BPM, A minor, wide stereo"),
        (["voice"], "voice"),
        ([], None),
    ],
)
def test_caption(tags, caption):
    clip = Clip(clip_id="x", start_sample=0, end_sample=1, rate_hz=1, measures={"tags": tags})
    assert Describe().measure(clip) == {"caption": caption}


def test_yaml_names_the_op():
    written = OmegaConf.to_container(OmegaConf.load(Path(__file__).parents[2] / "conf" / "caption" / "describe.yaml"))
    assert written == {"_target_": "audiocur.ops.caption.describe.Describe"}
    assert pickle.loads(pickle.dumps(Describe())) == Describe()
