"""A runner that lets the model say what its pipelines give it."""
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from .config_checks import check_pipelines
from .config_completion import complete_config

__all__ = ['RetrievalRunner']


@RUNNERS.register_module()
class RetrievalRunner(Runner):
    """MMEngine's runner, which completes a retriever's pipelines first.

    ``runner_type`` of the configs, so that the zoo's own tools do so too. See
    :func:`complete_config` and :func:`check_pipelines`.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'RetrievalRunner':
        """Build the runner that a config asks for.

        Raises:
            InputError: If a pipeline does not fit the model.
        """
        complete_config(cfg)
        check_pipelines(cfg)
        return super().from_cfg(cfg)
