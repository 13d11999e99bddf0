"""The public names, once: type checkers read them here, and ``__init__.py`` resolves them lazily."""

from .averages import ExponentialAverage as ExponentialAverage, Moments as Moments
from .charts import (
    Bezier as Bezier,
    BezierSurface as BezierSurface,
    Chain as Chain,
    Chart as Chart,
    CoefficientChart as CoefficientChart,
    ControlNet as ControlNet,
    Corners as Corners,
    Curve as Curve,
    Distortion as Distortion,
    Grown as Grown,
    Plane as Plane,
    Quadrilateral as Quadrilateral,
    Radial as Radial,
    RepeatedSlice as RepeatedSlice,
    Simplex as Simplex,
    Slice as Slice,
    Spline as Spline,
    Swag as Swag,
    Through as Through,
    find_radial_orders as find_radial_orders,
    load_chart as load_chart,
    measure_distortion as measure_distortion,
)
from .curvatures import CurvatureSettings as CurvatureSettings
from .data import (
    Augmentation as Augmentation,
    Dataset as Dataset,
    DataSource as DataSource,
    Normalise as Normalise,
    Split as Split,
    Transform as Transform,
    load_data as load_data,
)
from .data.augmentations.crop import Crop as Crop
from .data.augmentations.cutout import Cutout as Cutout
from .data.augmentations.flip import Flip as Flip
from .data.augmentations.noise import Noise as Noise
from .directions import slice_around as slice_around
from .engine import (
    BuffersPolicy as BuffersPolicy,
    Engine as Engine,
    Evaluation as Evaluation,
    Folded as Folded,
    Functional as Functional,
    Plan as Plan,
    StreamingMetric as StreamingMetric,
)
from .engine.buffers.batch import BatchStatistics as BatchStatistics
from .engine.buffers.frozen import FrozenStatistics as FrozenStatistics
from .engine.buffers.interpolated import InterpolatedStatistics as InterpolatedStatistics
from .engine.buffers.reestimated import ReestimatedStatistics as ReestimatedStatistics
from .engine.setup import engine_for as engine_for
from .ensembles import Listed as Listed, Members as Members, compare_ensembles as compare_ensembles
from .errors import (
    BadInput as BadInput,
    CannotFinish as CannotFinish,
    Caution as Caution,
    Interrupted as Interrupted,
    LossatlasError as LossatlasError,
    ModelFailure as ModelFailure,
)
from .feeds import Dict as Dict, Feed as Feed, Pair as Pair
from .fitting import (
    Adam as Adam,
    Fit as Fit,
    FitResult as FitResult,
    KeepBest as KeepBest,
    Momentum as Momentum,
    Muon as Muon,
    Seconds as Seconds,
    Steps as Steps,
    fit as fit,
)
from .jobs.library import compare as compare, connect as connect, curvature as curvature, survey as survey
from .jobs.library_ensemble import ensemble as ensemble
from .jobs.results import (
    Comparison as Comparison,
    CurvatureResult as CurvatureResult,
    CurveResult as CurveResult,
    Ensemble as Ensemble,
    Survey as Survey,
)
from .jobs.view import view as view
from .losses import BatchMean as BatchMean, Loss as Loss, NetworkLoss as NetworkLoss, PerExample as PerExample
from .losses.kinds.cross_entropy import CrossEntropy as CrossEntropy
from .losses.kinds.squared_error import SquaredError as SquaredError
from .metrics import MeanMetric as MeanMetric, OperatorMetric as OperatorMetric, PerExampleMetric as PerExampleMetric
from .metrics.kinds.group_loss import GroupLoss as GroupLoss
from .models.families.conv import Conv as Conv
from .models.families.densenet import DenseNet as DenseNet
from .models.families.mlp import MLP as MLP
from .models.families.nin import NIN as NIN
from .models.families.preresnet import PreResNet as PreResNet
from .models.families.resnet import ResNet as ResNet
from .models.families.vgg import VGG as VGG
from .models.families.wrn import WRN as WRN
from .objectives import (
    ArcLength as ArcLength,
    ClipLogarithm as ClipLogarithm,
    ClipPerCell as ClipPerCell,
    ClipPerExample as ClipPerExample,
    CoarseToFine as CoarseToFine,
    ColourLevels as ColourLevels,
    Decorrelated as Decorrelated,
    InSimplex as InSimplex,
    Isometric as Isometric,
    Levels as Levels,
    Maximum as Maximum,
    Objective as Objective,
    Pattern as Pattern,
    SampledPoints as SampledPoints,
    Stage as Stage,
    Uniform as Uniform,
)
from .pictures import (
    ColourPicture as ColourPicture,
    GreyPicture as GreyPicture,
    MemberGrid as MemberGrid,
    Picture as Picture,
    Raster as Raster,
    picture as picture,
    score_accuracy as score_accuracy,
    score_colours as score_colours,
    score_loss as score_loss,
)
from .problem import Problem as Problem
from .recipes.networks import (
    LoadedNetworks as LoadedNetworks,
    NetworkState as NetworkState,
    NetworkTransform as NetworkTransform,
    load_networks as load_networks,
)
from .recipes.opened_run import OpenedRun as OpenedRun, open_run as open_run
from .schedules import Schedule as Schedule
from .schedules.kinds.constant import Constant as Constant
from .schedules.kinds.cosine import Cosine as Cosine
from .schedules.kinds.cyclic import Cyclic as Cyclic
from .schedules.kinds.fge import FastGeometric as FastGeometric
from .schedules.kinds.linear import LinearDecay as LinearDecay
from .schedules.kinds.steps import StepDecay as StepDecay
from .schedules.kinds.swa import AveragingRate as AveragingRate
from .schedules.kinds.swa_cyclic import CyclicAveragingRate as CyclicAveragingRate
from .schedules.kinds.warm_restarts import WarmRestarts as WarmRestarts
from .studies import (
    Breaks as Breaks,
    ExaminedSplit as ExaminedSplit,
    examine_point as examine_point,
    find_breaks as find_breaks,
)
from .surveying import make_grid as make_grid
from .training import (
    AverageRecorder as AverageRecorder,
    Averaging as Averaging,
    HeldTrajectory as HeldTrajectory,
    Thinning as Thinning,
    Training as Training,
    TrainResult as TrainResult,
    Trajectory as Trajectory,
    train as train,
)
from .training.callbacks.huggingface import HuggingFaceTrajectory as HuggingFaceTrajectory
from .training.callbacks.lightning import LightningTrajectory as LightningTrajectory
from .views import DrawnPicture as DrawnPicture, Pictures as Pictures, View as View, write_report as write_report
from .weights import Initialiser as Initialiser, WeightSpace as WeightSpace
from .weights.initialisers.module import ModuleDefault as ModuleDefault
from .weights.initialisers.xavier import Xavier as Xavier
