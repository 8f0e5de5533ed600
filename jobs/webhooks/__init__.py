"""Webhooks: who is told of which end, what is still to be told, and what came of it.

Owns the tables of endpoints, deliveries and attempts and the rules for URLs. It
sends nothing: `dispatcher.webhook_delivery` does.
"""
