"""Our gateway's application in one uvicorn process, without Ray and Serve: what they add is seen by leaving them out.

VOICEHELPER_HOME=... python -m benchmarks.gateway_server PORT     # the engines of that home must run
"""

import sys

import uvicorn
import uvloop

from deployments.services import gateway_services
from deployments.wiring import Nodes
from voicehelper.config import Settings
from voicehelper.gateway import create_app
from voicehelper.telemetry import configure_logging


async def serve(port: int) -> None:
    """Until it is ended."""
    settings = Settings()
    configure_logging("ERROR")
    nodes = Nodes(settings, {})
    try:
        app = create_app(await gateway_services(nodes))
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")
        await uvicorn.Server(config).serve()
    finally:
        await nodes.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
