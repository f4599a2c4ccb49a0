from collections.abc import Sequence

from leafgate.subscription import Connection, Subscription

async def drain(client: Connection, subscriptions: Sequence[Subscription], timeout: float) -> None: ...
