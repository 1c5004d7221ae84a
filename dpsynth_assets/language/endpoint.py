"""Texts from a server that speaks the protocol of OpenAI's chat completions: vLLM, llama.cpp's server, Ollama.

A writer (`writing`) that sends what is asked, how to decode and a seed, and nothing else. What was answered is kept in
a folder, each text under what it was asked by, so that a run that was killed asks for the rest only. Knows no row, no
mechanism and no release. The key lies in the environment: it is read when a server is asked, and gets into no message,
no log, no file, and no object that outlives the asking.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

from dpsynth_assets.atomic import replacing
from dpsynth_assets.language.answer_limits import hurry, limit
from dpsynth_assets.language.model_places import lacking_key
from dpsynth_assets.language.writing import Request, WriterError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

AT_ONCE = 4  # requests: as many as a small server answers side by side, and no more than one should get from one asker
TURNS = 3  # how often a text that came out empty is asked for, each time by another seed
_LARGEST = 2**20  # bytes of an answer
_CHARACTERS = 32  # of a token at most: more than any tokenizer's words have; a server may not keep to the number
_OF_ONE_REQUEST = (400, 413, 422)  # too long, or not liked: what refuses one request may take all others
_SECRET = 12  # characters; shorter keys are such as `EMPTY` and `lm-studio`, where a server wants any
_PROBE = "Write one short sentence."
# What a request says of whoever sends it; all other headers of the client, and those that it takes from the
# environment, are for another service.
_HEADERS = frozenset({"host", "accept", "accept-encoding", "connection", "content-type", "content-length"})


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        connect: seconds until it is there.
        answer: seconds without a sign of an answer. One for a batch of others, on a server of one core, takes minutes.
        retries: how often what may pass (no connection, no answer, 429, 5xx) is tried again, after half a second at
            first, then after twice as much each time, or when the server says.
        whole: seconds until an answer has ended.
    """

    connect: float = 10.0
    answer: float = 180.0
    retries: int = 4
    whole: float = 600.0


@dataclass(frozen=True)
class ChatDecoding:
    """How the server draws a text's tokens. The protocol has no more: `lint` refuses `top_k` and `min_p`."""

    max_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class EndpointWriter:
    """Asks a server for texts (a `Writer`). As deterministic as the server is, and wholly so for what is kept.

    Attributes:
        endpoint: the server's URL, which `/chat/completions` is put behind.
        model: its name there.
        cache: the folder that keeps answers. They are made of public values and of releases.
        key_variable: the environment variable that holds the key; None where the server wants none.
    """

    endpoint: str
    model: str
    decoding: ChatDecoding
    cache: Path
    key_variable: str | None = None
    patience: Patience = field(default=Patience())

    @classmethod
    def of(cls, contract: Contract, cache: Path) -> EndpointWriter:
        """The writer that a contract names.

        Args:
            cache: as above. The caller removes it when what it is for stands.

        Raises:
            WriterError: the contract names no endpoint.
        """
        base, generation = contract.privacy.base_model, contract.privacy.generation
        if base.endpoint is None:
            raise WriterError(f"contract {contract.id} names no `base_model.endpoint` that could be asked for texts")
        decoding = ChatDecoding(generation.max_new_tokens, generation.temperature, generation.top_p)
        return cls(base.endpoint, base.name, decoding, cache, base.key_variable)

    def reach(self) -> None:
        """Ask for one text, as `write` does, and forget it: of key, model and decoding only an answer says that they
        are right.

        Raises:
            WriterError: it did not come. Before a charge is the time to know.
        """
        with self._client() as client:
            for turn in range(TURNS):
                if (self._text(client, Request(_PROBE), _seed(0, 0, turn), strict=True) or "").strip():
                    return
        raise WriterError(
            f"{self.model} at {self.endpoint} answers with nothing, asked {TURNS} times for one text: is it a chat "
            f"model, and are {self.decoding.max_tokens} tokens enough for it?"
        )

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        """One text for each request, in their order; empty where the server has none for it.

        Args:
            told: how many texts are ready.

        Raises:
            WriterError: a request has a beginning, which a chat cannot go on from; or not all texts can be had. What
                came is kept.
        """
        if any(request.begin for request in requests):
            raise WriterError(
                f"{self.endpoint} is asked in a chat, and a chat does not go on from a text's beginning: texts can be "
                "asked for in words only, as the variations `examples` and `paraphrase` do"
            )
        places = [self._place(request, seed, number) for number, request in enumerate(requests)]
        texts = [_kept(place) for place in places]
        missing = [number for number, text in enumerate(texts) if text is None]
        tell = told or (lambda ready: None)
        tell(len(texts) - len(missing))
        try:
            fresh = self._answers({number: (requests[number], places[number]) for number in missing}, seed)
            for ready, (number, text) in enumerate(fresh, start=len(texts) - len(missing) + 1):
                texts[number] = text
                tell(ready)
        except WriterError as error:
            if all(_kept(place) is None for place in places):
                raise
            raise WriterError(f"{error} What was answered is kept, and not asked for again") from None
        return [text for text in texts if text is not None]

    def _answers(self, asked: Mapping[int, tuple[Request, Path]], seed: int) -> Iterator[tuple[int, str]]:
        """The numbers of these requests, each with its answer, as they come. An answer is kept at its place."""
        if not asked:
            return

        def ask(number: int, request: Request, place: Path) -> tuple[int, str]:
            text = self._answered(client, request, seed, number)
            if text:  # else it may be had another time
                _keep(place, text)
            return number, text

        with self._client() as client, ThreadPoolExecutor(AT_ONCE) as threads:
            answers = [threads.submit(ask, number, *each) for number, each in asked.items()]
            try:
                for answer in as_completed(answers):
                    yield answer.result()
            finally:
                for answer in answers:  # those under way are waited for, and kept
                    answer.cancel()

    def _place(self, request: Request, seed: int, number: int) -> Path:
        """Where the answer to a request is kept: under everything that it follows from, and nothing besides."""
        decoding = [self.decoding.max_tokens, self.decoding.temperature, self.decoding.top_p]
        stated = [self.endpoint, self.model, decoding, request.asked, request.begin, request.answered(), seed, number]
        return self.cache / f"{hashlib.sha256(json.dumps(stated).encode()).hexdigest()}.txt"

    def _answered(self, client: openai.OpenAI, request: Request, seed: int, number: int) -> str:
        """A text; empty where the server has none for this request, asked by several seeds: neither a model's whim nor
        a filter that takes offence at one text may end a run."""
        for turn in range(TURNS):
            text = self._text(client, request, _seed(seed, number, turn))
            if text is None:
                return ""
            if text.strip():
                return text[: _CHARACTERS * self.decoding.max_tokens]
        return ""

    def _text(self, client: openai.OpenAI, request: Request, seed: int, *, strict: bool = False) -> str | None:
        """What the server answers; None where it takes this very request for a bad one, unless it is `strict`."""
        try:
            content = _content(
                client.chat.completions.create(
                    model=self.model,
                    messages=request.turns(),  # type: ignore[arg-type]  # plain dicts are what it sends
                    max_tokens=self.decoding.max_tokens,
                    temperature=self.decoding.temperature,
                    top_p=self.decoding.top_p,
                    seed=seed,
                )
            )
        except Exception as error:  # whatever it is, its text and its request may hold the key
            fault = self._fault(error)
            if not strict and isinstance(error, openai.APIStatusError) and error.status_code in _OF_ONE_REQUEST:
                return None
        else:
            if content is not None and not self._repeats_key(content):
                return content
            fault = "answers, and not by a chat's completion: does it speak OpenAI's protocol at this place?"
            if content is not None:
                fault = (
                    "writes the key that it was sent into its texts: it echoes requests, and is no place to send a key."
                )
        raise WriterError(f"{self.endpoint} {fault}")  # out here, where no other exception is behind it

    def _repeats_key(self, content: str) -> bool:
        """Whether the key stands in a text, which would be kept, and published. A word of a few letters is a server's
        placeholder and no secret."""
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable is not None else ""
        return len(key) >= _SECRET and key in content

    def _fault(self, error: Exception) -> str:
        """What is said of a request that failed. Nothing of the server's own words, which may repeat the key."""
        tries = self.patience.retries + 1
        if isinstance(error, openai.APITimeoutError):
            return (
                f"gave no answer within {self.patience.answer:g} seconds, or none that ended within "
                f"{self.patience.whole:g}, asked {tries} times: it may have too much to do, or {self.model} be too "
                "large for it."
            )
        if isinstance(error, openai.APIStatusError):
            return self._refusal(error.status_code)
        if isinstance(error, openai.APIConnectionError):
            return (
                f"cannot be reached, or breaks off, tried {tries} times: does the server run, and is "
                "`base_model.endpoint` its address?"
            )
        return f"answers what cannot be read ({type(error).__name__}): does it speak OpenAI's protocol at this place?"

    def _refusal(self, status: int) -> str:
        key = "wants a key: write the name of the variable that holds it as `base_model.key_variable`."
        if self.key_variable is not None:
            key = f"does not take the key in the environment variable {self.key_variable}: is it this server's?"
        said = {
            401: key,
            403: f"lets this key not use {self.model}: is it the right model?" if self.key_variable else key,
            404: f"has no model {self.model} here: `base_model.name` is one of its list of models (/models), and "
            "`base_model.endpoint` most often ends in /v1.",
            429: f"says that it is asked too often, after {self.patience.retries} further tries or for longer than is "
            "waited: run it again later, or raise the limit there.",
        }
        if status in said:
            return f"refuses ({status}): it {said[status]}"
        if status >= 500:
            return f"fails ({status}), also when asked again: its log says why."
        if 300 <= status < 400:
            return f"sends on to another place ({status}): write the final one as `base_model.endpoint`."
        return (
            f"refuses the request ({status}): is {self.model} a chat model, and does it take the temperature, top_p "
            "and number of tokens of `generation`?"
        )

    @contextmanager
    def _client(self) -> Iterator[openai.OpenAI]:
        """The client, with the key as it is now. Of the environment it takes proxies and certificates, for https, and
        nothing else."""
        fault = _key_fault(self.key_variable)
        client = None if fault else _client_of(self.endpoint, self.key_variable, self.patience)
        if client is None:
            raise WriterError(
                fault or f"nothing can be sent to {self.endpoint}: look at the proxies in the environment"
            )
        with client:
            yield client


def _client_of(endpoint: str, key_variable: str | None, patience: Patience) -> openai.OpenAI | None:
    """A client, or None where none can be made. Raises nothing: the key would be in sight of the exception."""
    key = os.environ[key_variable].strip() if key_variable is not None else ""
    allowed = _HEADERS | {"authorization"} if key else _HEADERS

    def plain(request: Any) -> None:
        for name in [each for each in request.headers if each.lower() not in allowed]:
            del request.headers[name]
        request.headers["accept-encoding"] = "identity"  # a small answer could be unpacked into a very large one

    hooks = {"request": [plain], "response": [lambda response: limit(response, _LARGEST)]}
    try:
        # Over plain http a proxy of the environment would read the key and every text; over https it passes on what it
        # cannot read.
        client = openai.DefaultHttpx2Client(
            follow_redirects=False, event_hooks=hooks, trust_env=endpoint.startswith("https:")
        )
        hurry(client, patience.whole)
        return openai.OpenAI(
            base_url=endpoint,
            api_key=key or "none",  # with nothing here, it would take another service's from the environment
            default_headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=openai.Timeout(patience.answer, connect=patience.connect),
            max_retries=patience.retries,
            http_client=client,
        )
    except Exception:
        return None


def _key_fault(variable: str | None) -> str | None:
    """Why the key cannot be sent; None where it can."""
    if (lacking := lacking_key(variable)) is not None or variable is None:
        return lacking
    if all("!" <= character <= "~" for character in os.environ[variable].strip()):
        return None
    return f"the environment variable {variable} holds what no key is: a key has no spaces and no special characters"


def _seed(seed: int, number: int, turn: int) -> int:
    """A request's own seed: 31 bits, which every server takes, and none takes for "any"."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number} {turn}".encode()).digest()[:4], "big") >> 1


def _content(answer: Any) -> str | None:
    """The text of an answer, "" where there is none in it; None where it is no answer. The client checks no types."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        return None
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    if message is None or not isinstance(content, str | None):
        return None
    return (content or "").encode("utf-8", "replace").decode("utf-8")  # JSON can hold halves of characters


def _kept(place: Path) -> str | None:
    try:
        return place.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _keep(place: Path, text: str) -> None:
    """Where it cannot be kept it is asked for again, should it be needed again: nothing else fails by that."""
    with suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place, mode=0o600) as file:
            file.write(text.encode("utf-8"))
