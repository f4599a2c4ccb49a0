from leafgate.answers import NoResponders as NoResponders
from leafgate.client import Client as Client
from leafgate.client import connect as connect
from leafgate.subscription import Message as Message
from leafgate.subscription import Subscription as Subscription
