"""Public names; `__init__.py` imports each when it is first used."""

from .engine.local import LocalEngine as LocalEngine
from .engine.ray import RayEngine as RayEngine
from .inspect.opened import Run as Run
from .inspect.opened import open_run as open_run
from .job import Job as Job
from .job import Limits as Limits
from .op import ClipOp as ClipOp
from .op import Column as Column
from .op import Device as Device
from .op import ModelOp as ModelOp
from .op import SpanOp as SpanOp
from .ops.caption.describe import Describe as Describe
from .ops.measure.bandwidth import Bandwidth as Bandwidth
from .ops.measure.clicks import Clicks as Clicks
from .ops.measure.clipping import Clipping as Clipping
from .ops.measure.dc import Dc as Dc
from .ops.measure.dropouts import Dropouts as Dropouts
from .ops.measure.dynamics import Dynamics as Dynamics
from .ops.measure.edges import Edges as Edges
from .ops.measure.hum import Hum as Hum
from .ops.measure.key import Key as Key
from .ops.measure.lossy import Lossy as Lossy
from .ops.measure.loudness import Loudness as Loudness
from .ops.measure.music import Music as Music
from .ops.measure.silence import Silence as Silence
from .ops.measure.spectrum import Spectrum as Spectrum
from .ops.measure.stereo import Stereo as Stereo
from .ops.measure.tempo import Tempo as Tempo
from .ops.measure.vad import Vad as Vad
from .ops.segment.beat import Beat as Beat
from .ops.segment.phrase import Phrase as Phrase
from .ops.segment.voiced import Voiced as Voiced
from .ops.segment.whole import Whole as Whole
from .ops.segment.window import Window as Window
from .ops.tag.measures import MeasuresTag as MeasuresTag
from .ops.transform.decode import Decode as Decode
from .ops.transform.encode import Encode as Encode
from .pipeline import Pipeline as Pipeline
from .placement import Placement as Placement
from .planning import Split as Split
from .rules import KeepRule as KeepRule
from .sources.demo import Demo as Demo
from .sources.folder import Folder as Folder
from .sources.manifest import Manifest as Manifest

__version__: str
