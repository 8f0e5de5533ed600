"""Why a job waits and when it will run: facts from Postgres (`facts`, `look`,
`statements`), the arithmetic (`estimates`), codes and sentences (`reasons`), and
what was foretold against what came (`predictions`). Nothing here changes a job.
"""
