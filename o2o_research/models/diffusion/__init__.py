"""How a product, a membership or a service spreads, and how much a short series says of it.

``bass`` holds the curves, ``regression`` the solver of all fits, ``fitting`` estimates them
with their uncertainty and forecasts, ``competing`` several brands in one market,
``generations`` products that replace each other, ``supply`` sales that stock cut short,
``scarce`` what two numbers say, ``countries`` the order of launches, ``scoring`` forecasts
against what happened.
"""
