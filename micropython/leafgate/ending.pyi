from collections.abc import Sequence

from leafgate.client import Client
from leafgate.subscription import Subscription

async def drain(client: Client, subscriptions: Sequence[Subscription], timeout: float) -> None: ...
