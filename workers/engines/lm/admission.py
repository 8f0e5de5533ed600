"""Whether a request can run on this engine, and how far it can go."""

from jobs.errors import InvalidRequest, PromptTooLong
from workers.engines.lm.cache import KvCache
from workers.engines.protocol import Request


def check_ids(request: Request, vocabulary: int) -> None:
    """Raises `InvalidRequest` for token ids that the model does not have."""
    sampling = request.sampling
    if not request.prompt or sampling.max_tokens < 0:
        raise InvalidRequest("a sequence needs a prompt")
    if min(request.prompt) < 0 or max(request.prompt) >= vocabulary:
        raise InvalidRequest(f"the prompt has token ids outside 0..{vocabulary - 1}")
    if max((*sampling.logit_bias, *sampling.stop_token_ids), default=0) >= vocabulary:
        raise InvalidRequest(f"logit_bias or stop_token_ids name ids outside 0..{vocabulary - 1}")


def limit(request: Request, context: int, cache: KvCache) -> int:
    """The most completion tokens that a request can get. Raises `PromptTooLong`."""
    prompt = len(request.prompt)
    if prompt >= context:
        raise PromptTooLong(
            f"the prompt has {prompt} tokens; the model's context is {context}", param="prompt"
        )
    most = min(request.sampling.max_tokens, context - prompt)
    if cost(request, most, cache) > cache.budget_tokens:
        raise PromptTooLong(
            f"{prompt} prompt and {most} completion tokens do not fit this worker's KV cache"
            f" of {cache.budget_tokens} tokens",
            param="prompt",
        )
    return most


def cost(request: Request, most: int, cache: KvCache) -> int:
    """What a request takes from the cache's budget; a slot's last place is never a prompt's."""
    return cache.cost(len(request.prompt) + max(most, 1))
