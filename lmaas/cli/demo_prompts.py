"""Sixteen things to ask a small chat model."""

PROMPTS = (
    "Explain in two sentences what a job queue is good for.",
    "Write a haiku about a lighthouse in fog.",
    "Give three tips for growing tomatoes on a balcony.",
    "What is the difference between weather and climate?",
    "Summarize: The ferry was late, so the passengers had breakfast and nobody complained.",
    "Which colours does a rainbow have, and in which order?",
    "Write a polite e-mail that moves a meeting from Monday to Wednesday.",
    "Why do leaves change colour in autumn?",
    "List five words that rhyme with 'light'.",
    "Write a Python function that returns the larger of two numbers.",
    "What is the capital of Italy, and what is it known for?",
    "Describe the taste of a ripe pear to somebody who never ate one.",
    "What should I pack for a two-day hike in the mountains?",
    "What makes bread rise in the oven?",
    "Tell a very short story about a robot that learns to whistle.",
    "What does a heart do? Answer for a child of six.",
)
