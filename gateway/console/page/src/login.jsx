import { connect, link, trouble } from "./connection.js";

export function Login() {
  const busy = link.value === "connecting";
  const submit = (event) => {
    event.preventDefault();
    const said = new FormData(event.currentTarget);
    const token = said.get("token");
    connect(token ? { token } : { user: said.get("user"), pass: said.get("password") });
  };
  return (
    <main class="alone">
      <h1>leafgate</h1>
      <p>Who looks at this gateway?</p>
      <form onSubmit={submit}>
        <label>User<input name="user" autocomplete="username" autocapitalize="none" spellcheck={false} /></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" /></label>
        <details>
          <summary>With a token instead</summary>
          <label>Token<input name="token" type="password" autocomplete="off" /></label>
        </details>
        <button class="first" disabled={busy}>{busy ? "Connecting …" : "Log in"}</button>
      </form>
      <p class="complaint" role="alert">{trouble.value}</p>
    </main>
  );
}
