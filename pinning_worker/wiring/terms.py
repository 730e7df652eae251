"""The operator's settings, in the words of the stories."""

from __future__ import annotations

from pinning_worker.domain.verdict import Depth
from pinning_worker.settings import Settings
from pinning_worker.steps.takedown import TakeDown
from pinning_worker.steps.tariffs import Prices
from pinning_worker.steps.terms import Terms


def terms_of(settings: Settings, takedown: TakeDown) -> Terms:
    """The settings as the stories' Terms."""
    return Terms(
        payment_address=settings.payment_address[0],
        payment_script=settings.payment_scripts[0],
        network=settings.network,
        depth=Depth(confirmations=settings.confirmations, credit_blocks=settings.credit_blocks),
        budget=settings.budget,
        staging_quota=settings.staging_quota,
        quarantine=settings.quarantine,
        quote_life=settings.quote_life,
        most_months=settings.most_months,
        min_payment=settings.min_payment,
        queue_size=settings.queue_size,
        queue_size_per_peer=settings.queue_size_per_peer,
        fetches_at_once=settings.fetches_at_once,
        denied=takedown.denies,
        blocked=takedown.is_blocked,
    )


def prices_of(settings: Settings) -> Prices:
    """The prices in the settings: those of the first tariff."""
    return Prices(per_mib_month=settings.price_per_mib_month, least=settings.min_fee)
