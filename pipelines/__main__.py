"""`python -m pipelines` is `reelmill`."""

from pipelines.cli.app import main

if __name__ == "__main__":
    main()
