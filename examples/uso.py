"""Use the API from Python with Requests: one home, many homes, why that price, how far off, and errors handled.

python examples/uso.py                                         # against `make run`
API_URL=https://.../prod API_KEY=... python examples/uso.py    # against a deployed one
"""

import os
import sys
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

Home = dict[str, Any]

LOT = 1_000  # homes: the most that one request may carry
TIMEOUT = (3.05, 30.0)  # seconds to connect, and between two bytes of the answer
# Too many requests, and the moment in which a deployment changes hands. Prices change nothing, so asking twice is safe.
AGAIN = Retry(
    total=4, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), allowed_methods=None, raise_on_status=False
)


class Refused(Exception):
    """The API said no. `status` is HTTP's; the message says what to mend."""

    def __init__(self, status: int, detail: Any) -> None:
        self.status = status
        if isinstance(detail, list):  # 422: one entry for each field
            detail = "; ".join(f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}" for problem in detail)
        super().__init__(f"{status}: {detail}")


class Prices:
    """A connection to the API; it is kept open between calls."""

    def __init__(self, url: str, key: str = "") -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.mount("https://", HTTPAdapter(max_retries=AGAIN))
        self._session.mount("http://", HTTPAdapter(max_retries=AGAIN))
        if key:
            self._session.headers["x-api-key"] = key

    def price(self, home: Home) -> dict[str, Any]:
        """One home: {precio, intervalo, avisos, timestamp, modelo}."""
        return self._post("predecir", home)

    def price_all(self, homes: list[Home]) -> list[dict[str, Any]]:
        """Any number of homes: [{precio, intervalo, avisos}], in their order."""
        lots = (homes[start : start + LOT] for start in range(0, len(homes), LOT))
        return [price for lot in lots for price in self._post("predecir/lote", {"viviendas": lot})["predicciones"]]

    def explain(self, home: Home) -> dict[str, Any]:
        """Why it costs that: euro for each field, against the median home."""
        return self._post("explicar", home)

    def evaluate(self, homes: list[Home]) -> dict[str, Any]:
        """How far off the model is on homes whose `precio` you know, 1,000 at most."""
        return self._post("evaluar", {"viviendas": homes})

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self._url}/{path}", json=body, timeout=TIMEOUT)
        try:
            content: dict[str, Any] = answer.json()
        except requests.JSONDecodeError:
            content = {}
        if not answer.ok:
            raise Refused(answer.status_code, content.get("detail") or content.get("message") or answer.reason)
        return content


def main() -> int:
    """Show each call once; the exit status says whether the API could be reached and had nothing to refuse."""
    prices = Prices(os.environ.get("API_URL", "http://localhost:8000"), os.environ.get("API_KEY", ""))
    home: Home = {
        "latitud": 40.4237,
        "longitud": -3.6712,
        "surface": 96,
        "baños": 2,
        "habitaciones": 3,
        "jardin": False,
        "antiguedad": 30,
        "superficie_util": None,  # not known: the model learnt what that means
        "ascensor": True,
        "garaje": False,
        "condicion": "En buen estado",
    }
    try:
        answer = prices.price(home)
        low, high = answer["intervalo"]["inferior"], answer["intervalo"]["superior"]
        print(f"Una vivienda: {answer['precio']:,.0f} €, entre {low:,.0f} € y {high:,.0f} €")
        for warning in answer["avisos"]:
            print(f"  ojo con {warning['campo']}: {warning['mensaje']}")

        bigger = [home | {"surface": size} for size in (60, 120, 240)]
        for each, one in zip(bigger, prices.price_all(bigger), strict=True):
            print(f"Con {each['surface']} m²: {one['precio']:,.0f} €")

        explanation = prices.explain(home)
        print(f"Por qué, desde los {explanation['referencia']['precio']:,.0f} € de la vivienda mediana:")
        parts = sorted(explanation["contribuciones"].items(), key=lambda part: -abs(part[1]))
        for field, euros in parts[:4]:
            print(f"  {field}: {euros:+,.0f} €")

        sold = [home | {"precio": 600_000}, home | {"surface": 60, "precio": 400_000}]
        figures = prices.evaluate(sold)
        print(f"Error medio en {figures['n']} viviendas propias: {figures['mae']:,.0f} € ({figures['mape']:.0%})")

        try:
            prices.price(home | {"surface": -96})
        except Refused as refused:
            print(f"Lo que no puede ser se rechaza: {refused}")
    except Refused as refused:
        print(f"La API dice que no: {refused}", file=sys.stderr)
        return 1
    except requests.RequestException as error:
        print(f"No se puede llegar a la API ({type(error).__name__}): ¿está en marcha?", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
