"""Who serves a model: the provider in "provider:model", among colons that mean something else.

Names of models have colons of their own: `llama3:8b`, `anthropic.claude-3-haiku-20240307-v1:0`,
`ft:gpt-4o-mini:acme::x1`. So what stands before the first is a provider only if it is known as one.
"""

from __future__ import annotations

from functools import cache

_INTEGRATIONS = frozenset(
    """ai21 alephalpha amazon_bedrock anthropic anthropic_bedrock anyscale azure azure_ai
    azure_inference azure_openai baseten bedrock bedrock_converse bedrock_mantle_anthropic
    bedrock_mantle_openai cerebras clarifai cloudflare_ai_gateway cohere dashscope databricks
    deepinfra deepseek digitalocean_gradientai featherlessai fireworks friendli frugal gemini
    gigachat google google_anthropic_vertex google_genai google_vertexai groq helicone heroku
    huggingface huggingface_api ibm keywordsai langchain langsmith litellm llama_api llama_cpp
    llamafile lmstudio localai maritalk meta minimax mistral mistralai mlx modelscope monsterapi
    nebius netmind novita nvidia nvidia_tensorrt nvidia_triton oci_data_science oci_genai octoai
    ollama openai openai_like openllm openrouter openvino openvino_genai optimum_intel ovhcloud
    perplexity portkey predibase premai qianfan replicate sagemaker_endpoint sambanova
    sambanovacloud sambanovasystems sarvam sglang siliconflow text_generation_inference together
    upstage vercel_ai_gateway vertex vllm watsonx xai xinference zhipuai""".split()
)
"""Providers as LangChain and LlamaIndex call them, in what names a model and in traces."""

_IN_TABLE = {  # the frameworks' names for what genai-prices calls otherwise
    "amazon_bedrock": "aws",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
}


def split_provider(name: str) -> tuple[str, str]:
    """Provider and model of "provider:model"; no provider ("") unless one that is known is named.

    Example:
        >>> split_provider("ollama:llama3:8b")
        ('ollama', 'llama3:8b')
        >>> split_provider("llama3:8b")
        ('', 'llama3:8b')
    """
    head, colon, tail = name.partition(":")
    return (head, tail) if colon and (head in _INTEGRATIONS or head in _table()) else ("", name)


def in_table(provider: str) -> str:
    """What the `genai-prices` table calls a provider."""
    return _IN_TABLE.get(provider, provider)


@cache
def _table() -> frozenset[str]:
    """The providers of the price table, by its own names."""
    # Imported late: it takes a tenth of a second to load.
    from genai_prices.data_snapshot import get_snapshot

    return frozenset(provider.id for provider in get_snapshot().providers)
