"""Uplinks: the links to hubs, begun and ended as the configuration says."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import trio

from gateway.accounts.account import Account
from gateway.runtime.runtime import Runtime
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.difference import match, uplink_label
from gateway.settings.uplink import Uplink
from gateway.transport.registry import Registry
from gateway.uplink.announcements import UplinkRequests
from gateway.uplink.leafnode_uplink import LeafnodeUplink
from gateway.uplink.link_group import LinkGroup
from gateway.uplink.status import LinkStatus


class Uplinks:
    """`links` is kept to those that there are, in the order of the configuration. `find_account` finds an account by
    its name; None where there is none, perhaps not yet.
    """

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        find_account: Callable[[str], Awaitable[Account | None]],
        links: list[LeafnodeUplink],
    ) -> None:
        self.links = links
        self._runtime = runtime
        self._registry = registry
        self._find_account = find_account
        self._groups: dict[str, LinkGroup] = {}
        # Who answers requests about the links, by account.
        self._answering: dict[str, UplinkRequests] = {}

    def replace(self, configured: Iterable[Uplink], nursery: trio.Nursery) -> None:
        """Begin what is new and end what is not there any more; a link whose keys are the same goes on."""
        new = list(configured)
        matching = match([link.config for link in self.links], new, uplink_label)
        kept = {now: self.links[before] for before, now in matching.pairs if self.links[before].config == new[now]}
        for link in self.links:
            if link not in kept.values():
                link.end()
        taken = {link.number for link in kept.values()}
        links: list[LeafnodeUplink] = []
        begun: list[LeafnodeUplink] = []
        for index, config in enumerate(new):
            if index in kept:
                link = kept[index]
            else:
                number = next(number for number in range(len(new)) if number not in taken)
                taken.add(number)
                link = self._make(config, number)
                begun.append(link)
            links.append(link)
        # The list stays the same one: others read it.
        self.links[:] = links
        for account, group in self._groups.items():
            group.links = [link for link in links if account_name(link.config) == account]
            group.tell()
        for link in begun:
            nursery.start_soon(link.run)

    async def renew(self) -> None:
        """End links whose account is gone; they come back with it."""
        for link in list(self.links):
            if await self._find_account(account_name(link.config)) is None:
                link.lose_account()

    def _make(self, config: Uplink, number: int) -> LeafnodeUplink:
        account = account_name(config)
        group = self._groups.setdefault(account, LinkGroup())
        find = partial(self._open_account, account)
        return LeafnodeUplink(self._runtime, self._registry, None, config, number, group, find)

    async def _open_account(self, name: str) -> Account | None:
        account = await self._find_account(name)
        if account is not None and name not in self._answering:
            gateway = self._runtime.names.server_name
            statuses = partial(self._statuses, name)
            answering = self._answering[name] = UplinkRequests(gateway, account, statuses)
            account.router.subscribe(answering)
        return account

    def _statuses(self, account: str) -> list[LinkStatus]:
        return [link.status() for link in self.links if account_name(link.config) == account]


def account_name(config: Uplink) -> str:
    return config.account or DEFAULT_ACCOUNT
