"""A small store and the model trained on it, made once."""

from pathlib import Path

import pytest

from orchestration.learn.propensity.card import Card
from orchestration.learn.propensity.pairs import read_pairs
from orchestration.learn.propensity.training import train_on
from pollux.runtime.settings import Settings
from sample.store import generate_store
from tests.learn.histories import open_sample


@pytest.fixture(scope="session")
def store_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a store of 20 customers."""
    folder = tmp_path_factory.mktemp("store")
    generate_store(folder, scale=0.02, seed=1)
    return folder


@pytest.fixture(scope="session")
def trained_store(
    store_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Card]:
    """An installation with a promoted model; tests must not change it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("trained"))
    with open_sample(store_files) as history:
        pairs = read_pairs(history)
    return settings, train_on(settings, pairs, data="sample", seed=1)
