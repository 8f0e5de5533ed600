"""From a claimed job to an engine request, in the thread that claims.

What takes time (tokenizing, compiling a grammar) happens here, off the engine's step.
"""

from collections.abc import Sequence
from dataclasses import replace

from jobs.ids import new_id
from jobs.spec import MAX_COMPLETION_TOKENS, Parameters
from models_store.grammar import Grammars
from models_store.prompt import PromptRenderer
from workers.engines.protocol import Request, Sampling, Texts, Work
from workers.held_jobs import HeldJob
from workers.tasks import TEXTS, prompt_tokens

_PROOF_PROMPT = "hello"
_PROOF_TOKENS = 2


class Preparation:
    """See the module."""

    def __init__(self, renderer: PromptRenderer) -> None:
        self._renderer = renderer
        self._grammars = Grammars(renderer)

    def request(self, held: HeldJob) -> Work:
        """What the engine is asked for: the texts to read, or the first completion;
        the job is told how many it has. Raises `LmaasError` if it cannot run."""
        job = held.job
        parameters = Parameters.model_validate(job.parameters)
        if job.task in TEXTS:
            texts = TEXTS[job.task](self._renderer, job.input)
            held.request = Texts(held.sequence_id, texts, parameters.normalize)
            return held.request
        held.request = Request(
            id=held.sequence_id,
            prompt=prompt_tokens(job.task, self._renderer, job.input),
            sampling=_sampling(parameters),
            grammar=self._grammars.compiled(parameters.response_format),
        )
        held.wanted = parameters.n
        return held.request


def _sampling(parameters: Parameters) -> Sampling:
    return Sampling(
        # The router sets it.
        max_tokens=MAX_COMPLETION_TOKENS
        if parameters.max_tokens is None
        else parameters.max_tokens,
        temperature=parameters.temperature,
        top_p=parameters.top_p,
        top_k=parameters.top_k,
        min_p=parameters.min_p,
        seed=parameters.seed,
        stop=parameters.stop_strings,
        stop_token_ids=tuple(parameters.stop_token_ids),
        ignore_eos=parameters.ignore_eos,
        logprobs=parameters.top_logprobs if parameters.logprobs else None,
        prompt_logprobs=parameters.prompt_logprobs,
        presence_penalty=parameters.presence_penalty,
        frequency_penalty=parameters.frequency_penalty,
        repetition_penalty=parameters.repetition_penalty,
        logit_bias=parameters.logit_bias,
    )


def proof(tasks: Sequence[str], renderer: PromptRenderer) -> Work:
    """A little work of the kind that a model with these tasks does."""
    tokens = renderer.encode(_PROOF_PROMPT, special=True)
    if any(task in TEXTS for task in tasks):
        return Texts(new_id(), [tokens])
    return Request(new_id(), tokens, Sampling(max_tokens=_PROOF_TOKENS))


def next_request(first: Request, number: int) -> Request:
    """The request of a job's completion `number`, counted from 0: as the first,
    with a seed that many higher. The prompt's logprobs are told once."""
    seed = first.sampling.seed
    sampling = replace(
        first.sampling, seed=None if seed is None else seed + number, prompt_logprobs=None
    )
    return replace(first, sampling=sampling)
