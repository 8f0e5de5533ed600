"""Whose turn it is: fair shares of a model between tenants and classes.

`fair_share` decides, `releases` reads before it and writes after it. Used by the
Task Manager alone (decision 0006).
"""
