"""The sections of params.yaml, and what each must look like."""

from __future__ import annotations

from corpus.reports.index import IndexParams
from corpus.reports.readers import ReportParams
from corpus.scans.ingest_params import IngestParams
from corpus.scans.phantom import PhantomParams
from model.canonicalizer import CanonicalizerParams
from model.data import Augmentation
from model.flans import ModelParams
from model.testing.evaluation import EvaluateParams
from model.texts import EmbedParams
from model.training.objectives import LossWeights
from model.training.params import TrainParams
from prompts.dataset import DatasetParams
from prompts.generator import GenerateParams
from prompts.review.sheet import ReviewParams
from prompts.synthesis import SynthesisParams
from prompts.targets import TargetParams

SECTIONS: dict[str, type] = {
    "cohort": str,
    "phantom": PhantomParams,
    "ingest": IngestParams,
    "reports": ReportParams,
    "synthesize": SynthesisParams,
    "index": IndexParams,
    "generate": GenerateParams,
    "targets": TargetParams,
    "review": ReviewParams,
    "dataset": DatasetParams,
    "model": ModelParams,
    "canonicalizer": CanonicalizerParams,
    "augment": Augmentation,
    "loss": LossWeights,
    "train_canonicalizer": TrainParams,
    "train_segmenter": TrainParams,
    "embed": EmbedParams,
    "train_language": TrainParams,
    "train_joint": TrainParams,
    "evaluate": EvaluateParams,
}
