"""Files of the project, as every revision has them, named from its root."""

PARAMS, LOCK = "params.yaml", "dvc.lock"
DATA, INDEXED, FACTORS = "data/ingested", "data/indexed", "data/factors"
TABLE = "data/per_user.parquet"
EVALUATION, BASELINES = "metrics/evaluate.json", "metrics/baselines.json"
JUDGED = "data/judged"  # folders of `musicrec judge`, with files named as in the project
ORIGINAL, TRIALS = "data/original", "data/tune"  # records of `musicrec original` and `tune`
