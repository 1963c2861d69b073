"""The desk: what operators see and decide in a browser, by the functions of `pipeline/` that the console calls.

    web.serve ─▶ DeskDoor ─ no operator yet ─▶ as if there was no such page
                    └─▶ Desk.app: who is it (visits) ─▶ may they (role) ─▶ a page, or an act that is kept and said

How a page is added:

1. *A class for a part of the desk*, `web/desk/sources.py`, built with the `Desk` and listed in `web/desk/app.py`:

       class Sources:
           section = Section("Sources", "/desk/sources")        # an entry of the navigation; None: no entry

           def __init__(self, desk: Desk) -> None: ...

           def routes(self) -> Sequence[Route]:
               return [
                   self._desk.page("/desk/sources", self.all),
                   self._desk.act("/desk/sources/{key}/look", "source.look", self.look),
               ]

2. *A page* is a plain function `(visit) -> Response`, run in a thread: it reads by functions of `pipeline/` and returns
   `visit.page("sources.html.j2", title="Sources", …)`. Whoever is signed in may see it; `page(…, role="admin")` takes
   more. `visit.number("key")` reads a number from the path, `visit.asked("q")` a word from the query,
   `visit.before` and `visit.limit` are for paging (`parts.j2`: `older`).

3. *A template*, `templates/desk/sources.html.j2`, extends `base.html.j2` and imports `parts.j2`: `act` (a form with its
   reason, its CSRF token and its button, shown only to who may), `when`, `tag`, `fact`, `older`. Everything is escaped;
   no script and no style stands in a page (the policy forbids both): what moves is `desk.js`, how it looks `desk.css`.

4. *An act* is a function `(visit, form) -> str`, run where writers run; it calls a method of `pipeline/operators` that
   takes `by=visit.actor` and keeps what was done (`pipeline.operators.acts.kept`), and returns the path to go to. The
   act ("source.look") stands in `pipeline.operators.acts.NEEDS` with the least role that may do it. What it raises is
   shown in a sentence with a fitting status, and nothing was done. The next page says what the log says of it.

5. *A test*: `tests/web/desk/conftest.py` has a desk over a prepared database and somebody of each role signed in.
"""
