"""From a request of OpenAI's to the jobs that it means."""

from collections.abc import Sequence

from jobs.spec import Parameters, Submit, Task
from jobs.states import Priority
from routing.openai.embedding_requests import EmbeddingRequest
from routing.openai.requests import ChatRequest, CompletionRequest, spoken
from routing.openai.response_requests import ResponseRequest

# How these bodies call what a job's fields are called.
_CHAT_NAMES = {"input": "messages", "input.messages": "messages", "task": "model"}
RESPONSE_NAMES = {
    "input.messages": "input",
    "task": "model",
    "parameters.max_tokens": "max_output_tokens",
    "parameters.response_format": "text.format",
    "parameters.logprobs": "top_logprobs",
}
COMPLETION_NAMES = {"input": "prompt", "task": "model", "parameters.max_tokens": "max_tokens"}


def of_chat(body: ChatRequest) -> Submit:
    """The one job of a chat completion."""
    return Submit(
        task=Task.CHAT.value,
        model=body.model,
        input={"messages": spoken(body.messages)},
        parameters=body.job_parameters(),
        priority=body.priority,
        metadata=body.metadata or {},
        stream=bool(body.stream),
    )


def chat_names(body: ChatRequest) -> dict[str, str]:
    """The names of `routing.openai.problems.named` for this body."""
    limit = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    return _CHAT_NAMES | {"parameters.max_tokens": limit}


def of_completion(body: CompletionRequest) -> list[Submit]:
    """A job for each prompt of a completion."""
    return [
        Submit(
            task=Task.GENERATE.value,
            model=body.model,
            input={"prompt" if isinstance(prompt, str) else "prompt_token_ids": prompt},
            parameters=body.job_parameters(),
            priority=body.priority,
            stream=bool(body.stream),
        )
        for prompt in body.prompt
    ]


def of_response(body: ResponseRequest, before: Sequence[dict[str, str]] = ()) -> Submit:
    """The one job of a response; `before` is what was said in those it goes on from."""
    return Submit(
        task=Task.CHAT.value,
        model=body.model,
        input={"messages": body.messages(before)},
        parameters=body.parameters(body.max_output_tokens),
        priority=body.priority,
        metadata=body.metadata or {},
        stream=bool(body.stream),
    )


def of_embedding(body: EmbeddingRequest) -> Submit:
    """The one job of a request for embeddings; OpenAI's have length 1."""
    return Submit(
        task=Task.EMBED.value,
        model=body.model,
        input={"input": body.input},
        parameters=Parameters(normalize=True),
        priority=Priority.INTERACTIVE,
    )


def embedding_names(body: EmbeddingRequest) -> dict[str, str]:
    """The names of `routing.openai.problems.named` for this body; one text alone has no
    number."""
    many = len(body.input) > 1
    items = {f"input.input.{n}": f"input.{n}" if many else "input" for n in range(len(body.input))}
    return {"input.input": "input", "task": "model"} | items
