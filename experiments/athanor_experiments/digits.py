"""Which classifier reads handwritten digits best, and how many examples does it need?

The data are the 1797 handwritten digits of 8 by 8 pixels that scikit-learn ships (the test part of the UCI data set
"Optical Recognition of Handwritten Digits"). Every fit draws a fresh split: TEST_SIZE digits to test on, and `size`
of the others to learn from. The split depends on the run's seed, the size and the repeat, and not on the classifier:
classifiers are compared on the same digits, and a run with the same seed and configuration gives the same accuracies.

Results: `fit/<classifier>/<size>/<repeat>` for each fit, `summary/<classifier>/<size>` for each cell of the grid, and
one `summary`. The confidence interval is Student's t over the repeats. They share one set of digits, so it speaks of
the chance in splitting and fitting, and not of other people's handwriting.

A checkpoint after each fit: a run that may have several attempts repeats none that was finished, wherever it goes on.
"""

# scikit-learn and scipy come without type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from athanor.experiment import RunContext, experiment
from numpy.typing import NDArray
from pydantic import BaseModel, Field

Classifier = Literal["logistic_regression", "linear_svm", "rbf_svm", "k_nearest", "random_forest"]

TEST_SIZE = 397  # digits held out in every split; 1400 are left to learn from
TRAINABLE = 1400


class Config(BaseModel):
    """The grid: every classifier with every training size, each `repeats` times."""

    classifiers: list[Classifier] = Field(
        ["logistic_regression", "rbf_svm", "k_nearest", "random_forest"],
        min_length=1,
        title="Classifiers",
        json_schema_extra={"uniqueItems": True},
    )
    training_sizes: list[Annotated[int, Field(ge=50, le=TRAINABLE)]] = Field(
        [100, 300, 1000],
        min_length=1,
        max_length=20,
        title="Training set sizes",
        description="How many digits each classifier learns from.",
        json_schema_extra={"uniqueItems": True},
    )
    repeats: int = Field(10, ge=1, le=100, title="Repeats", description="Fits of each classifier with each size.")
    confidence: float = Field(
        0.95, ge=0.5, le=0.999, title="Confidence level", description="Of the interval around each mean accuracy."
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """What one fit is and came to."""

    classifier: Classifier
    size: int
    repeat: int
    seed: int  # of the split and of the classifier
    correct: int  # of TEST_SIZE
    confusion_matrix: list[list[int]]  # row: the digit that was written; column: the digit that was read
    fit_time_s: float

    @property
    def accuracy(self) -> float:
        return self.correct / TEST_SIZE

    def to_result(self) -> dict[str, Any]:
        return {
            "accuracy": round(self.accuracy, 6),
            "fit_time_s": round(self.fit_time_s, 6),
            "classifier": self.classifier,
            "training_size": self.size,
            "test_size": TEST_SIZE,
            "repeat": self.repeat,
            "seed": self.seed,
            "confusion_matrix": self.confusion_matrix,
        }


@experiment(
    name="digits",
    title="Handwritten digits",
    description="Classifies 1797 handwritten digits over a grid of classifiers and training-set sizes, with repeats.",
)
def digits(ctx: RunContext[Config]) -> None:
    config = ctx.config
    images, labels = load()
    cells = list(product(config.classifiers, config.training_sizes))
    ctx.log("info", f"{len(cells) * config.repeats} fits of {len(cells)} kinds", {"digits": len(labels)})

    # The number of digits read correctly by each fit, in the order of the grid: all that a later attempt has to know.
    correct: list[int] = ctx.restored["correct"] if ctx.restored else []
    if correct:
        ctx.log("info", f"going on after {len(correct)} fits of an earlier attempt")

    summaries = [
        summarize(*cell, correct[start : start + config.repeats], config.confidence)
        for cell, start in zip(cells, range(0, len(correct) - config.repeats + 1, config.repeats), strict=False)
    ]

    todo = [(*cell, repeat) for cell in cells for repeat in range(1, config.repeats + 1)][len(correct) :]
    for classifier, size, repeat in ctx.track(todo, done=len(correct)):
        fit = fit_once(classifier, size, repeat, split_seed(ctx.seed, size, repeat), images, labels)
        correct.append(fit.correct)
        ctx.result(f"fit/{classifier}/{size}/{repeat}", fit.to_result())

        if repeat == config.repeats:
            summary = summarize(classifier, size, correct[-config.repeats :], config.confidence)
            summaries.append(summary)
            ctx.result(f"summary/{classifier}/{size}", summary)
            ctx.log("info", f"{classifier} with {size} digits: {describe(summary)}")

        # After the results of this fit, so that they stand when a later attempt goes on from here.
        ctx.checkpoint({"correct": correct})

    best = max(summaries, key=lambda summary: summary["mean"])
    ctx.result("summary", {"fits": len(correct), "seed": ctx.seed, "best": best, "grid": summaries})
    ctx.log("info", f"best: {best['classifier']} with {best['training_size']} digits, {describe(best)}")


def load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The images, one row of 64 grey values each, and the digits that they show."""
    # Imported here, because describing the experiment must not cost a second of scikit-learn.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.asarray(images, dtype=np.float64), np.asarray(labels, dtype=np.int64)


def split_seed(seed: int, size: int, repeat: int) -> int:
    """The seed of one split: the same for all classifiers, so that they are compared on the same digits."""
    return int(np.random.SeedSequence([seed, size, repeat]).generate_state(1)[0])


def fit_once(
    classifier: Classifier,
    size: int,
    repeat: int,
    seed: int,
    images: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> Fit:
    """Draw a split, learn, and read the digits that were held out."""
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:TEST_SIZE], order[TEST_SIZE : TEST_SIZE + size]
    model = make(classifier, seed)

    start = time.perf_counter()
    model.fit(images[train], labels[train])
    fit_time_s = time.perf_counter() - start

    read = np.asarray(model.predict(images[test]), dtype=np.int64)
    confusion = np.zeros((10, 10), dtype=np.int64)
    np.add.at(confusion, (labels[test], read), 1)
    return Fit(classifier, size, repeat, seed, int(np.trace(confusion)), confusion.tolist(), fit_time_s)


def make(classifier: Classifier, seed: int) -> Any:
    """A fresh classifier, which scales its own input where it needs to."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, LinearSVC

    makers: dict[Classifier, Callable[[], Any]] = {
        "logistic_regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "linear_svm": lambda: make_pipeline(StandardScaler(), LinearSVC(max_iter=20_000, random_state=seed)),
        "rbf_svm": lambda: SVC(gamma="scale"),
        "k_nearest": lambda: KNeighborsClassifier(n_neighbors=3, algorithm="brute"),
        "random_forest": lambda: RandomForestClassifier(n_estimators=100, random_state=seed),
    }
    return makers[classifier]()


def summarize(classifier: Classifier, size: int, correct: Sequence[int], confidence: float) -> dict[str, Any]:
    """Mean, standard deviation and confidence interval of the accuracy; the last two are None for a single fit."""
    mean, deviation, interval = mean_and_interval([count / TEST_SIZE for count in correct], confidence)
    return {
        "mean": round(mean, 6),
        "sd": None if deviation is None else round(deviation, 6),
        "interval": None if interval is None else [round(bound, 6) for bound in interval],
        "confidence": confidence,
        "fits": len(correct),
        "classifier": classifier,
        "training_size": size,
    }


def mean_and_interval(
    values: Iterable[float], confidence: float
) -> tuple[float, float | None, tuple[float, float] | None]:
    """Mean, sample standard deviation, and the two-sided interval of Student's t around the mean.

    A single value has neither deviation nor interval.
    """
    from scipy.stats import t

    sample = np.asarray(list(values), dtype=np.float64)
    mean = float(sample.mean())
    if len(sample) < 2:
        return mean, None, None

    deviation = float(sample.std(ddof=1))
    half = float(t.ppf((1 + confidence) / 2, len(sample) - 1)) * deviation / len(sample) ** 0.5
    return mean, deviation, (mean - half, mean + half)


def describe(summary: dict[str, Any]) -> str:
    """One line for people."""
    if summary["interval"] is None:
        return f"{summary['mean']:.1%}"
    low, high = summary["interval"]
    return f"{summary['mean']:.1%} ({low:.1%} to {high:.1%})"
