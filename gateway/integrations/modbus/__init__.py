"""Modbus: registers of devices, polled into subjects and written from them."""
