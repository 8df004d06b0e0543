"""Names that both ends know."""

CONTROLLER_NAME = "controller.blackstart"  # in every controller's certificate, whatever its addresses are
