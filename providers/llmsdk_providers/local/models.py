"""The models of one provider: by name, opened at the first use, each once."""

from __future__ import annotations

import os
from pathlib import Path
from threading import RLock

from llmsdk.errors import ClientClosed, EngineDead, UnknownModel
from llmsdk_providers.local import heads, hub, loader
from llmsdk_providers.local.engine import Engine, Load, Steps
from llmsdk_providers.local.folder import ModelFolder, locate, open_folder
from llmsdk_providers.local.grammar import Grammars
from llmsdk_providers.local.purpose import Purpose, purpose, supposed
from llmsdk_providers.local.reader import Reader
from llmsdk_providers.local.restarts import Restarts
from llmsdk_providers.local.scheduler import Scheduler
from llmsdk_providers.local.settings import LocalSettings
from llmsdk_providers.local.text import Texts


class OpenModel:
    """One model by its name. Each part is made at its first use; one that failed is tried again at the next."""

    def __init__(self, name: str, settings: LocalSettings) -> None:
        self.name = name
        self._settings = settings
        path = locate(name)
        self._path = None if path is None else path.absolute()
        self._lock = RLock()
        self._reading = RLock()
        self._compiling = RLock()
        self._folder: ModelFolder | None = None
        self._texts: Texts | None = None
        self._grammars: Grammars | None = None
        self._reader: Reader | None = None
        self._engine: Engine | None = None
        self.restarts = Restarts()
        self._closed = False

    @property
    def started(self) -> bool:
        return self._engine is not None

    @property
    def load(self) -> Load:
        """What its engine is doing."""
        return Load(0, 0, 0) if self._engine is None else self._engine.load

    def check(self) -> None:
        """Find every fault that shows without loading anything.

        Raises:
            MissingExtra, UnknownModel, ModelFileError, UnsafeModel
        """
        if self._engine is None:
            loader.require_libraries(self.name)
            self.folder()

    def folder(self, *, fetch: bool = False) -> ModelFolder | None:
        """The model's folder, checked; ``None`` for a hub id that is not here, unless ``fetch`` downloads it."""
        # No lock: who only asks must not wait for a download, and reading twice does no harm.
        if self._folder is None:
            path = self._path or (hub.download(self.name) if fetch else hub.cached(self.name))
            self._folder = None if path is None else open_folder(path, self.name)
        return self._folder

    def texts(self, *, fetch: bool = False) -> Texts:
        """The model's tokenizer.

        Raises:
            UnknownModel: a hub id that has not been downloaded, unless ``fetch`` downloads it.
        """
        folder = self.folder(fetch=fetch)
        if folder is None:
            hint = "The first chat() or complete() downloads it."
            raise UnknownModel(f"{self.name!r} has not been downloaded yet", hint=hint)
        with self._reading:
            if self._texts is None:
                loader.require_libraries(self.name)
                self._texts = Texts(loader.load_tokenizer(folder), self.name, folder.ends)
            return self._texts

    def grammars(self) -> Grammars:
        """What holds the model's replies to a schema. Making it takes up to a second.

        Raises:
            Unsupported: its tokenizer is of a kind that cannot.
        """
        codec = self.texts().codec
        with self._compiling:
            if self._grammars is None:
                self._grammars = Grammars(codec)
            return self._grammars

    def purpose(self) -> Purpose:
        """What it was made for; of a hub id that is not here, what its name says."""
        folder = self.folder()
        return supposed(self.name) if folder is None else purpose(folder)

    def reader(self) -> Reader:
        """What reads texts for a model that was made for one task."""
        texts, folder = self.texts(), self.folder()
        assert folder is not None
        with self._reading:
            if self._reader is None:
                self._reader = Reader(folder, texts, self.name, self._settings.max_len)
            return self._reader

    def engine(self) -> Engine:
        """The model's engine, which loads the model if it is new. One whose thread has ended is replaced.

        Raises:
            EngineDead: the last ones have died without finishing anything, and it is too early to try again.
        """
        with self._lock:
            if self._closed:
                raise ClientClosed("this local provider was closed")
            if self._engine is not None:
                self._engine.check_process()
            if self._engine is None or not self._engine.alive:
                self._may_restart()
                self._engine = Engine(
                    self.name, self._load, max_batch=self._settings.max_batch, died=self.restarts.died
                )
            return self._engine

    def _may_restart(self) -> None:
        left = self.restarts.left()
        if self._engine is not None and left > 0:
            hint = f"It is loaded anew in {left:.3g} s: {self.restarts.deaths} in a row have ended so."
            raise self._engine.death(hint)

    def close(self, timeout: float) -> None:
        """End the engine. What it runs ends with ``ClientClosed``."""
        with self._lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close(timeout=timeout)

    def _load(self) -> Steps:
        self.texts(fetch=True)
        folder = self.folder(fetch=True)
        assert folder is not None
        if purpose(folder).kind != "causal":
            return heads.load(folder, self.reader(), self._settings)
        return Scheduler(loader.load_runner(folder, self._settings))


class Shelf:
    """The models of a provider that have been asked for."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._process = os.getpid()
        self._lock = RLock()
        self._models: dict[str, OpenModel] = {}
        self._closed = False

    def get(self, name: str) -> OpenModel:
        """The model of that name.

        Raises:
            UnknownModel: a name that can mean nothing.
            EngineDead: this process was forked from one in which a model was open.
            ClientClosed: the provider was closed.
        """
        self._check_process()
        with self._lock:
            if self._closed:
                raise ClientClosed("this local provider was closed")
            if name not in self._models:
                self._models[name] = OpenModel(name, self._settings)
            return self._models[name]

    def loaded(self) -> list[tuple[str, ModelFolder]]:
        """Models whose engine has been started, with their folders."""
        with self._lock:
            models = [model for model in self._models.values() if model.started]
        return [(model.name, folder) for model in models if (folder := model.folder()) is not None]

    def close(self, timeout: float = 0.0) -> None:
        """End all engines, and wait for each at most ``timeout`` seconds. The shelf stays closed."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._closed = True
            models = list(self._models.values())
        for model in models:
            model.close(timeout)

    def _check_process(self) -> None:
        """In a forked child, start afresh if nothing had been started; a lock may be held by a thread that is gone."""
        if os.getpid() == self._process:
            return
        if any(model.started for model in self._models.values()):
            hint = "Make the client after the fork, or start processes with the method 'spawn' or 'forkserver'."
            raise EngineDead("a local model was opened before this process was forked", hint=hint)
        self._lock, self._models, self._process = RLock(), {}, os.getpid()


def on_disk() -> list[tuple[str, Path]]:
    """Models that need no download: ``pocket`` and what the hub's cache holds."""
    pocket = locate("pocket")
    here = [("pocket", pocket)] if pocket is not None and pocket.is_dir() else []
    return here + hub.listed()
