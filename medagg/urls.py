from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from medagg.accounts import views as accounts
from medagg.observing.health import healthz, readyz

account_patterns: list[URLPattern | URLResolver] = [
    path("", accounts.AccountView.as_view(), name="account"),
    path("signup/", accounts.SignUpView.as_view(), name="signup"),
    path("login/", accounts.SignInView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("address/", accounts.AddressView.as_view(), name="account-address"),
    path("address/again/", accounts.AddressAgainView.as_view(), name="account-address-again"),
    path("confirm/<str:token>/", accounts.ConfirmView.as_view(), name="account-confirm"),
    path("export/", accounts.ExportView.as_view(), name="account-export"),
    path("delete/", accounts.DeleteView.as_view(), name="account-delete"),
    path("password_reset/", accounts.ResetView.as_view(), name="password_reset"),
    path(
        "reset/<uidb64>/<token>/", accounts.NewPasswordView.as_view(), name="password_reset_confirm"
    ),
    path("password_change/", accounts.OwnPasswordView.as_view(), name="password_change"),
    path("", include("django.contrib.auth.urls")),
]
_of_admin, _app_name, _namespace = admin.site.urls
# `vocab.admin_base.bounds` has no use for the one, and for the other there is one page for all.
_left_out = {"view_on_site", "password_change"}
_one_page = RedirectView.as_view(pattern_name="password_change")
admin_patterns = [
    path("password_change/", _one_page, name="password_change"),
    *(each for each in _of_admin if getattr(each, "name", "") not in _left_out),
]
urlpatterns = [
    path("", include("catalog.urls")),
    path("collections/", include("collections_app.urls")),
    path("accounts/", include(account_patterns)),
    path("admin/", (admin_patterns, _app_name, _namespace)),
    path("healthz/", healthz, name="healthz"),
    path("readyz/", readyz, name="readyz"),
]

handler400 = "medagg.errors.bad_request"
handler500 = "medagg.errors.server_error"
